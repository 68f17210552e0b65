"""Real and synthetic images as tensors: loading, the validation split, normalisation.

Everything a cell trains on is one :class:`Dataset` in memory. The validation split comes out of the training data; the
test set is only ever evaluated.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.catalog import CIFAR10_CLASSES, DATASETS, dataset_info, synthetic_shape
from bench.config.cell import Cell
from bench.errors import DataError
from bench.train.datasets.image_folder import load_image_folder

VALIDATION_SHARE = 0.1
_TEST_SHARE_OF_DIGITS = 0.2


@dataclass(frozen=True)
class Split:
    """``images`` ``[N, channels, H, W]`` (float32, normalised) and ``labels`` ``[N]`` (int64)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The three splits of a data set, and what a record says of them.

    ``asymmetric`` is the class map of asymmetric noise, None where there is none. ``fingerprint`` is a hash of the raw
    images and labels, so that a reader can tell whether two records saw the same data.
    """

    train: Split
    validation: Split
    test: Split
    classes: int
    asymmetric: tuple[tuple[int, int], ...] | None
    fingerprint: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)``."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


@dataclass(frozen=True)
class RawData:
    """Images ``[N, channels, H, W]`` (uint8 or float) and labels ``[N]`` (int64), as the files have them."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]


def load_dataset(cell: Cell, data_root: Path | None, download: bool = False) -> Dataset:
    """Loads, splits and normalises the data set of ``cell``.

    Args:
        cell: its dataset, train_samples, seed and shape fields are read.
        data_root: where torchvision's data sets and image folders lie; None where the data set needs none.
        download: let torchvision download what is missing.

    Raises:
        DataError: files are missing or damaged, or there are too few samples; the message says what to do.
    """
    raw = _load_raw(cell, data_root, download)
    classes = len(raw.class_names)
    order = torch.randperm(len(raw.train_labels), generator=torch.Generator().manual_seed(cell.seed))
    order = order[: cell.train_samples]
    validation_size = max(1, round(len(order) * VALIDATION_SHARE))
    if len(order) <= validation_size:
        raise DataError(
            f"train_samples = {len(order)} leaves none to train on beside the validation split; legal: 2 or more"
        )
    chosen, held_out = order[validation_size:], order[:validation_size]

    train_images = raw.train_images[chosen].float()
    mean = train_images.mean(dim=(0, 2, 3), keepdim=True)
    deviation = train_images.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)

    def normalised(images: Tensor) -> Tensor:
        return (images.float() - mean).div_(deviation)

    return Dataset(
        train=Split(normalised(train_images), raw.train_labels[chosen]),
        validation=Split(normalised(raw.train_images[held_out]), raw.train_labels[held_out]),
        test=Split(normalised(raw.test_images), raw.test_labels),
        classes=classes,
        asymmetric=_asymmetric_map(cell.dataset, raw.class_names),
        fingerprint=_fingerprint(raw),
    )


def _asymmetric_map(dataset: str, class_names: tuple[str, ...]) -> tuple[tuple[int, int], ...] | None:
    if class_names == CIFAR10_CLASSES:  # an image folder may hold CIFAR-10, too
        return DATASETS["cifar10"].asymmetric
    return dataset_info(dataset).asymmetric


def _fingerprint(raw: RawData) -> str:
    digest = hashlib.sha256()
    for tensor in (raw.train_images, raw.train_labels, raw.test_images, raw.test_labels):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()[:16]


def _load_raw(cell: Cell, data_root: Path | None, download: bool) -> RawData:
    kind, _, folder = cell.dataset.partition(":")
    if kind == "digits":
        return _load_digits()
    if kind == "random":
        return _make_random(cell)
    if data_root is None:
        raise DataError(f"dataset {cell.dataset!r} needs --data-root DIRECTORY, the directory that holds its files")
    if kind == "image-folder":
        return RawData(*load_image_folder(data_root / folder, cell.image_size, cell.channels or 3))
    return _load_torchvision(kind, data_root, download)


def _load_digits() -> RawData:
    """The 8x8 digits that come with scikit-learn; every fifth one, in the file's order, is a test image."""
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32)).unsqueeze(1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    is_test = torch.arange(len(labels)) % round(1 / _TEST_SHARE_OF_DIGITS) == 0
    names = tuple(str(name) for name in bunch.target_names)
    return RawData(images[~is_test], labels[~is_test], images[is_test], labels[is_test], names)


def _make_random(cell: Cell) -> RawData:
    """Gaussian images and uniform labels: twice a batch to train and validate on, one image to test."""
    (channels, height, width), classes = synthetic_shape(cell.image_size, cell.channels, cell.classes)
    generator = torch.Generator().manual_seed(cell.seed)
    samples = 2 * cell.batch_size + 1
    images = torch.randn(samples, channels, height, width, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    names = tuple(str(index) for index in range(classes))
    return RawData(images[1:], labels[1:], images[:1], labels[:1], names)


def _load_torchvision(kind: str, root: Path, download: bool) -> RawData:
    import torchvision  # a second to load, and most data sets do without

    name = str(DATASETS[kind].torchvision_name)
    source = getattr(torchvision.datasets, name)
    try:
        if kind == "svhn":
            parts = [source(str(root), split=split, download=download) for split in ("train", "test")]
        else:
            parts = [source(str(root), train=train, download=download) for train in (True, False)]
    except Exception as error:  # missing, damaged and download errors come in a dozen types
        raise DataError(
            f"dataset {kind!r} could not be loaded from {root}: {error}\n"
            f"Give --data-root the directory that holds torchvision's copy of {name}, or add --download."
        ) from error
    labels = [torch.as_tensor(np.asarray(part.labels if kind == "svhn" else part.targets)).long() for part in parts]
    train_images, test_images = (_channels_first(part.data, kind) for part in parts)
    names = getattr(parts[0], "classes", range(DATASETS[kind].classes or 0))
    return RawData(train_images, labels[0], test_images, labels[1], tuple(str(name) for name in names))


def _channels_first(data: Any, kind: str) -> Tensor:
    images = torch.as_tensor(data)
    if images.dim() == 3:
        return images.unsqueeze(1)
    return images if kind == "svhn" else images.permute(0, 3, 1, 2)
