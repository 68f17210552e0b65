"""The loaders of the data sets that come with the harness."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.datasets import synthetic_shape, synthetic_training_images
from bench.config.file_names import path_of
from bench.errors import DataError
from bench.train.datasets.image_folder import load_image_folder
from bench.train.datasets.own import RawData

_TEST_SHARE_OF_DIGITS = 0.2


def load_digits(side: int = 8) -> RawData:
    """The digits that come with scikit-learn; every fifth one, in the file's order, is a test image.

    Args:
        side: of an image, in pixels; the 8x8 pixels of the file are interpolated (bilinear) to more of them.
    """
    from sklearn.datasets import load_digits as load

    bunch: Any = load()
    images = torch.from_numpy(bunch.images.astype(np.float32)).unsqueeze(1)
    if side != images.shape[2]:
        images = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    is_test = torch.arange(len(labels)) % round(1 / _TEST_SHARE_OF_DIGITS) == 0
    names = tuple(str(name) for name in bunch.target_names)
    return RawData(images[~is_test], labels[~is_test], images[is_test], labels[is_test], names)


def make_random(
    batch_size: int, seed: int, image_size: int | None, channels: int | None, classes: int | None
) -> RawData:
    """Gaussian images and uniform labels: twice a batch to train and validate on, one image to test."""
    shape, count = synthetic_shape(image_size, channels, classes)
    generator = torch.Generator().manual_seed(seed)
    samples = synthetic_training_images(batch_size) + 1
    images = torch.randn(samples, *shape, generator=generator)
    labels = torch.randint(count, (samples,), generator=generator)
    names = tuple(str(index) for index in range(count))
    return RawData(images[1:], labels[1:], images[:1], labels[:1], names)


def load_folder(
    dataset: str, data_root: Path | None, image_size: int | None, channels: int | None, folder: str = ""
) -> RawData:
    """An image folder: ``DATA_ROOT/FOLDER/{train,test}/CLASS/*``.

    Raises:
        DataError: there is no data root, or the folder cannot be read.
    """
    root = _required(data_root, dataset)
    return load_image_folder(path_of(folder, root), image_size, channels or 3)


def load_torchvision(
    dataset: str, data_root: Path | None, download: bool, torchvision_name: str, classes: int
) -> RawData:
    """A data set of torchvision.

    Args:
        dataset: its name here.
        data_root: the directory that holds torchvision's copy of it.
        download: let torchvision download it there.
        torchvision_name: of its class in ``torchvision.datasets``.
        classes: how many classes it has.

    Raises:
        DataError: there is no data root, or files are missing or damaged.
    """
    import torchvision  # a second to load, and most data sets do without

    root = _required(data_root, dataset)
    source = getattr(torchvision.datasets, torchvision_name)
    is_svhn = torchvision_name == "SVHN"
    try:
        if is_svhn:
            parts = [source(str(root), split=split, download=download) for split in ("train", "test")]
        else:
            parts = [source(str(root), train=train, download=download) for train in (True, False)]
    except Exception as error:  # missing, damaged and download errors come in a dozen types
        raise DataError(
            f"dataset {dataset!r} could not be loaded from {root}: {error}\n"
            f"Give --data-root the directory that holds torchvision's copy of {torchvision_name}, or add --download."
        ) from error
    labels = [torch.as_tensor(np.asarray(part.labels if is_svhn else part.targets)).long() for part in parts]
    train_images, test_images = (_channels_first(part.data, is_svhn) for part in parts)
    names = getattr(parts[0], "classes", range(classes))
    return RawData(train_images, labels[0], test_images, labels[1], tuple(str(each) for each in names))


def _required(data_root: Path | None, dataset: str) -> Path:
    if data_root is None:
        raise DataError(f"dataset {dataset!r} needs --data-root DIRECTORY, the directory that holds its files")
    return data_root


def _channels_first(data: Any, are_first: bool) -> Tensor:
    images = torch.as_tensor(data)
    if images.dim() == 3:
        return images.unsqueeze(1)
    return images if are_first else images.permute(0, 3, 1, 2)
