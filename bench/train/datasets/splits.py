"""The three splits that a cell trains and is evaluated on, made from raw images and labels."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.config.axes import values_of
from bench.config.batches import SampleCounts
from bench.config.cell import Cell
from bench.config.datasets import CIFAR10_CLASSES, CIFAR10_MAP, load_dataset_row
from bench.config.split_sizes import validation_images
from bench.errors import DataError
from bench.train.datasets.noise_source import load_noise_source
from bench.train.datasets.own import load
from bench.train.datasets.pixels import PixelScale
from bench.train.noise import transition_matrix


@dataclass(frozen=True)
class Split:
    """``images`` ``[N, channels, H, W]`` (float32, normalised) and ``labels`` ``[N]`` (int64).

    ``human_labels`` ``[N]`` are those that people gave, None where the noise of the cell is another.
    """

    images: Tensor
    labels: Tensor
    human_labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """A data set as a cell sees it, in memory, and what a record says about it.

    The validation split comes out of the training data; the test set is only ever evaluated.

    Attributes:
        train: what the cell trains on.
        validation: what chooses an epoch.
        test: what is reported.
        classes: the number of classes.
        asymmetric: the class map of asymmetric noise, None where there is none.
        matrix: from which labels are drawn, ``[C, C]``; None where the noise of the cell is another.
        transition: the matrix of the noise, whatever its kind, ``[C, C]``: row c holds the probabilities of the labels
            that an image of class c gets. None where there is no class map for ``asymmetric``.
        fingerprint: a hash of the raw images and labels, so that a reader can tell whether two records saw the same
            data.
        noise_fingerprint: likewise of the human labels or the matrix, None where there are none.
        scale: from normalised images back to pixels in 0..1.
        notes: sentences about what was loaded that a person should read.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    asymmetric: tuple[tuple[int, int], ...] | None
    fingerprint: str
    scale: PixelScale
    notes: tuple[str, ...] = ()
    matrix: Tensor | None = None
    transition: Tensor | None = None
    noise_fingerprint: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)``."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @property
    def sample_counts(self) -> SampleCounts:
        """The number of images in each split."""
        return SampleCounts(len(self.train), len(self.validation), len(self.test))


def load_splits(cell: Cell, data_root: Path | None, download: bool = False) -> Splits:
    """Loads, splits and normalises the data set of ``cell``.

    Args:
        cell: its dataset, train_samples, seed and shape axes are read.
        data_root: where torchvision's data sets and image folders lie; None where the data set needs none.
        download: let torchvision download what is missing.

    Raises:
        DataError: files are missing or damaged, or there are too few samples; the message says what to do.
    """
    row = load_dataset_row(cell.dataset)
    raw = load(row, {**values_of(cell), "data_root": data_root, "download": download})
    order = torch.randperm(len(raw.train_labels), generator=torch.Generator().manual_seed(cell.seed))
    order = order[: cell.train_samples]
    validation_size = validation_images(len(order))
    if len(order) <= validation_size:
        raise DataError(
            f"dataset {cell.dataset!r} has {len(order)} training samples, which leaves none to train on beside the "
            "validation split; legal: 2 or more"
        )
    chosen, held_out = order[validation_size:], order[:validation_size]
    source = None
    if cell.noise_source is not None:
        source = load_noise_source(cell.noise_kind, cell.noise_source, raw, data_root)
    human = None if source is None else source.labels
    matrix = None if source is None or human is not None else source.matrix

    train_images = raw.train_images[chosen].float()
    mean = train_images.mean(dim=(0, 2, 3), keepdim=True)
    pixels = train_images[:, 0].numel()
    # A single pixel has a deviation of 0, where the estimate for a sample would be 0 / 0.
    deviation = train_images.std(dim=(0, 2, 3), correction=min(1, pixels - 1), keepdim=True).clamp_min(1e-6)

    def normalised(images: Tensor) -> Tensor:
        return (images.float() - mean).div_(deviation)

    is_cifar10 = raw.class_names == CIFAR10_CLASSES  # an image folder may hold CIFAR-10, too
    asymmetric = CIFAR10_MAP if is_cifar10 else row.asymmetric
    classes = len(raw.class_names)
    return Splits(
        train=Split(normalised(train_images), raw.train_labels[chosen], None if human is None else human[chosen]),
        validation=Split(
            normalised(raw.train_images[held_out]),
            raw.train_labels[held_out],
            None if human is None else human[held_out],
        ),
        test=Split(normalised(raw.test_images), raw.test_labels),
        classes=classes,
        asymmetric=asymmetric,
        fingerprint=_fingerprint(raw.train_images, raw.train_labels, raw.test_images, raw.test_labels),
        scale=PixelScale.of(raw.train_images[chosen], mean, deviation),
        notes=raw.notes,
        matrix=matrix,
        transition=transition_matrix(
            classes, cell.noise_kind, cell.noise_rate, asymmetric, None if source is None else source.matrix
        ),
        noise_fingerprint=next((_fingerprint(part) for part in (human, matrix) if part is not None), None),
    )


def shape_of(cell: Cell, data_root: Path | None) -> tuple[tuple[int, int, int], int]:
    """``(channels, height, width)`` and the number of classes of the data of ``cell``, which are loaded for that.

    Raises:
        DataError: they cannot be loaded.
    """
    raw = load(load_dataset_row(cell.dataset), {**values_of(cell), "data_root": data_root, "download": False})
    channels, height, width = raw.train_images.shape[1:]
    return (channels, height, width), len(raw.class_names)


def _fingerprint(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()[:16]
