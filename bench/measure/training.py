"""How the accuracy pass trains: on which data, in which order, at which learning rate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from bench.config.cell import Cell
from bench.train.datasets.splits import Split, Splits
from bench.train.noise import corrupt_labels
from bench.train.step import TrainingStep

Batch = tuple[Tensor, Tensor, Tensor]  # images [B, ...], labels [B], and the images' places in the training split [B]


class Training(ABC):
    """Trains on the training data of a cell, epoch by epoch.

    The order comes from a generator of its own, so every method, and every rank, sees the same batches.

    Args:
        cell: its batch size, epochs, schedule, noise, seed and device are used.
        data: the splits, on the CPU.
        optimizers: those that the schedule drives.

    Attributes:
        split: images and noisy labels, on the cell's device.
        wrong_share: the share of the labels that are wrong.
    """

    def __init__(self, cell: Cell, data: Splits, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        labels, self.wrong_share = corrupted(cell, data, "train")
        self.split = on_device(Split(data.train.images, labels), cell.device)
        self._cell = cell
        self._order = torch.Generator().manual_seed(cell.seed)
        batches = cell.epochs * math.ceil(len(self.split) / cell.batch_size)
        self.schedulers: list[LRScheduler] = [
            CosineAnnealingLR(optimizer, T_max=batches) for optimizer in optimizers if cell.schedule == "cosine"
        ]

    def train_epoch(self) -> float:
        """Trains on each image once; returns the mean of the losses, which may not be finite."""
        losses = self.train(self._batches())
        total = torch.zeros((), device=losses.device)
        samples, size = len(self.split), self._cell.batch_size
        for start, loss in zip(range(0, samples, size), losses, strict=True):
            total += loss * min(size, samples - start)
        return float(total) / samples

    @abstractmethod
    def train(self, batches: Iterable[Batch]) -> Tensor:
        """Trains on each of ``batches``; returns their losses, ``[N]``."""

    def _batches(self) -> Iterator[Batch]:
        for batch in torch.randperm(len(self.split), generator=self._order).split(self._cell.batch_size):
            index = batch.to(self._cell.device)
            yield self.split.images[index], self.split.labels[index], index


class StepTraining(Training):
    """Training by a step on one rank.

    Args:
        cell: as for :class:`Training`, and so is ``data``.
        data: the splits.
        step: what trains on a batch.
    """

    def __init__(self, cell: Cell, data: Splits, step: TrainingStep) -> None:
        super().__init__(cell, data, step.optimizers)
        self._step = step

    def train(self, batches: Iterable[Batch]) -> Tensor:
        """One step after the other."""
        self._step.network.train()
        losses = []
        for images, labels, index in batches:
            losses.append(self._step(images, labels, indices=index))
            for scheduler in self.schedulers:
                scheduler.step()
        return torch.stack(losses)


def corrupted(cell: Cell, data: Splits, name: Literal["train", "validation"]) -> tuple[Tensor, float]:
    """The labels of a split with the noise of the cell, and the share of them that are wrong."""
    split = data.train if name == "train" else data.validation
    return corrupt_labels(
        split.labels,
        *(data.classes, cell.noise_kind, cell.noise_rate, cell.seed, data.asymmetric),
        split=name,
        human_labels=split.human_labels,
        matrix=data.matrix,
    )


def on_device(split: Split, device: str) -> Split:
    """Images and labels of ``split`` on ``device``."""
    return Split(split.images.to(device), split.labels.to(device))
