"""The splits of a cell on its device, with the labels that are learned and those that choose an epoch."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from bench.config.cell import Cell
from bench.train.datasets.splits import Split, Splits
from bench.train.noise import corrupt_labels


@dataclass(frozen=True)
class Labelled:
    """The splits on the device of a cell: ``train`` with the labels to learn, the others with the true ones.

    ``noisy_validation`` ``[N]``, on the CPU, are the labels of ``validation`` that choose an epoch.
    ``clean_validation`` and ``clean_test`` are the true labels on the CPU. ``train_noise_rate`` and
    ``validation_noise_rate`` are the shares of labels that are wrong.
    """

    train: Split
    validation: Split
    test: Split
    noisy_validation: Tensor
    clean_validation: Tensor
    clean_test: Tensor
    train_noise_rate: float
    validation_noise_rate: float


def labelled(cell: Cell, data: Splits) -> Labelled:
    """Give the training and validation splits of ``data`` the noise of ``cell``, and move all splits to its device."""
    noisy_labels, rate = _corrupted(cell, data, "train")
    noisy_validation, validation_rate = _corrupted(cell, data, "validation")
    return Labelled(
        train=_on_device(Split(data.train.images, noisy_labels), cell.device),
        validation=_on_device(data.validation, cell.device),
        test=_on_device(data.test, cell.device),
        noisy_validation=noisy_validation,
        clean_validation=data.validation.labels,
        clean_test=data.test.labels,
        train_noise_rate=rate,
        validation_noise_rate=validation_rate,
    )


def _corrupted(cell: Cell, data: Splits, name: Literal["train", "validation"]) -> tuple[Tensor, float]:
    """The labels of a split with the noise of the cell, and the share of them that are wrong."""
    split = data.train if name == "train" else data.validation
    return corrupt_labels(
        split.labels,
        *(data.classes, cell.noise_kind, cell.noise_rate, cell.seed, data.asymmetric),
        split=name,
        human_labels=split.human_labels,
        matrix=data.matrix,
    )


def _on_device(split: Split, device: str) -> Split:
    return Split(split.images.to(device), split.labels.to(device))
