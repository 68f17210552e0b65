"""How the accuracy pass trains: on which data, in which order, at which learning rate."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from bench.config.cell import Cell
from bench.measure.labelled import Labelled
from bench.train.step import TrainingStep

Batch = tuple[Tensor, Tensor, Tensor]  # images [B, ...], labels [B], and the images' places in the training split [B]


class Training(ABC):
    """Trains on the training data of a cell, epoch by epoch.

    The order comes from a generator of its own, so every method, and every rank, sees the same batches.

    Args:
        cell: its batch size, epochs, schedule, seed and device are used.
        data: the splits.
        optimizers: those that the schedule drives.

    Attributes:
        data: the splits.
        schedulers: of the optimizers, to be stepped after each batch.
    """

    def __init__(self, cell: Cell, data: Labelled, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.data = data
        self._cell = cell
        self._order = torch.Generator().manual_seed(cell.seed)
        batches = cell.epochs * math.ceil(len(data.train) / cell.batch_size)
        self.schedulers: list[LRScheduler] = [
            CosineAnnealingLR(optimizer, T_max=batches) for optimizer in optimizers if cell.schedule == "cosine"
        ]

    def train_epoch(self) -> float:
        """Trains on each image once; returns the mean of the losses, which may not be finite."""
        losses = self.train(self._batches())
        total = torch.zeros((), device=losses.device)
        samples, size = len(self.data.train), self._cell.batch_size
        for start, loss in zip(range(0, samples, size), losses, strict=True):
            total += loss * min(size, samples - start)
        return float(total) / samples

    @abstractmethod
    def train(self, batches: Iterable[Batch]) -> Tensor:
        """Trains on each of ``batches``; returns their losses, ``[N]``."""

    def _batches(self) -> Iterator[Batch]:
        train = self.data.train
        for batch in torch.randperm(len(train), generator=self._order).split(self._cell.batch_size):
            index = batch.to(self._cell.device)
            yield train.images[index], train.labels[index], index


class StepTraining(Training):
    """Training by a step on one rank.

    Args:
        cell: as for :class:`Training`, and so is ``data``.
        data: the splits.
        step: what trains on a batch.
    """

    def __init__(self, cell: Cell, data: Labelled, step: TrainingStep) -> None:
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
