"""What a loader may give, as raw images and labels: tensors, arrays, or map-style data sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.datasets import Dataset
from bench.config.plugins import call_with_known, resolve
from bench.errors import BenchError, DataError, first_line

# The arguments of a loader, in their order where it calls them otherwise.
_USUAL = ("data_root",)
_TEST_EVERY = 5  # of a data set without a test split, every fifth sample is one


@dataclass(frozen=True)
class RawData:
    """Images ``[N, channels, H, W]`` (uint8 or float) and labels ``[N]`` (int64), as the files have them.

    ``notes`` are sentences about what was loaded that a person should read. ``train_names`` are the paths of the files
    of the training images in the folder of the data set, with ``/``; None where images have no files of their own.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    train_names: tuple[str, ...] | None = None


def load(row: Dataset, known: Mapping[str, Any]) -> RawData:
    """Calls the loader of ``row`` and brings what it gives into one form.

    A loader gives one of these; each split is a map-style data set, or a pair of images ``[N, channels, H, W]`` or
    ``[N, H, W]`` and labels ``[N]``:

    - ``(train, test)``, two splits, or a mapping with these keys;
    - ``(train_images, train_labels, test_images, test_labels)``;
    - one split, of which every fifth sample becomes a test sample;
    - a :class:`RawData`.

    An item of a map-style data set is ``(image, label)``; the image is a tensor, an array or a PIL image.

    Args:
        row: the data set's row.
        known: the arguments that the loader may name: ``data_root``, ``download``, and the axes of a cell.

    Raises:
        DataError: the loader fails, or gives something else; the message names the data set.
    """
    loader = resolve(row.loader)
    what = f"dataset {row.name!r}"
    if _is_map_style(loader):
        given = loader
    else:
        try:
            given = call_with_known(loader, {**known, **row.keywords}, _USUAL, what)
        except BenchError:
            raise
        except Exception as error:
            raise DataError(f"{what} cannot be loaded: {first_line(error)}") from error
    if isinstance(given, RawData):
        return given
    return _as_raw(given, known.get("image_size"), what)


def _as_raw(given: Any, image_size: int | None, what: str) -> RawData:
    if isinstance(given, Mapping):
        missing = [name for name in ("train", "test") if name not in given]
        if missing:
            raise DataError(f"{what} gives a mapping without {missing[0]!r}; legal: the keys train and test")
        given = (given["train"], given["test"])
    if isinstance(given, Sequence) and len(given) == 4:
        given = ((given[0], given[1]), (given[2], given[3]))
    if _is_split(given):
        images, labels = _read(given, image_size, what)
        is_test = torch.arange(len(labels)) % _TEST_EVERY == 0
        train, test = (images[~is_test], labels[~is_test]), (images[is_test], labels[is_test])
        first = given
    elif isinstance(given, Sequence) and len(given) == 2 and all(map(_is_split, given)):
        first = given[0]
        train, test = (
            _read(split, image_size, f"{what}, {name}") for split, name in zip(given, ("train", "test"), strict=True)
        )
    else:
        raise DataError(
            f"{what} gives a {type(given).__name__}; legal: (train, test), each a map-style data set or a pair of "
            "images and labels; or (train_images, train_labels, test_images, test_labels)"
        )
    if train[0].shape[1:] != test[0].shape[1:]:
        raise DataError(
            f"{what} has training images of shape {list(train[0].shape[1:])} and test images of "
            f"{list(test[0].shape[1:])}; legal: one shape"
        )
    if not len(train[1]) or not len(test[1]):
        raise DataError(
            f"{what} has {len(train[1])} training and {len(test[1])} test samples; legal: 1 or more of each"
        )
    return RawData(*train, *test, _class_names(first, train[1], test[1]))


def _is_map_style(given: Any) -> bool:
    is_indexed = hasattr(given, "__getitem__") and hasattr(given, "__len__")
    return is_indexed and not isinstance(given, Sequence | Mapping | type)


def _is_pair(given: Any) -> bool:
    return (
        isinstance(given, Sequence)
        and len(given) == 2
        and all(isinstance(part, Tensor | np.ndarray) for part in given)
        and given[0].ndim in (3, 4)
        and given[1].ndim == 1
    )


def _is_split(given: Any) -> bool:
    return _is_pair(given) or (_is_map_style(given) and not isinstance(given, Tensor | np.ndarray))


def _read(split: Any, image_size: int | None, what: str) -> tuple[Tensor, Tensor]:
    """Images ``[N, channels, H, W]`` and labels ``[N]`` of a split."""
    if _is_pair(split):
        images, labels = (torch.as_tensor(np.asarray(part)) for part in split)
        images = images.unsqueeze(1) if images.dim() == 3 else images
    else:
        images, labels = _read_items(split, what)
    if len(images) != len(labels):
        raise DataError(f"{what} has {len(images)} images and {len(labels)} labels; legal: one label per image")
    if labels.is_floating_point() or labels.is_complex():
        raise DataError(f"{what} has labels of {labels.dtype}; legal: integers from 0")
    if len(labels) and int(labels.min()) < 0:
        raise DataError(f"{what} has the label {int(labels.min())}; legal: integers from 0")
    if image_size is not None and images.shape[-2:] != (image_size, image_size):
        images = F.interpolate(images.float(), (image_size, image_size), mode="bilinear", antialias=True)
    return images, labels.long()


def _read_items(split: Any, what: str) -> tuple[Tensor, Tensor]:
    images: list[Tensor] = []
    labels: list[int] = []
    for index in range(len(split)):
        try:
            image, label = split[index]
            images.append(_image(image))
            labels.append(int(label))
        except Exception as error:
            raise DataError(f"{what}, item {index}, cannot be read as (image, label): {first_line(error)}") from error
        if images[-1].shape != images[0].shape:
            raise DataError(
                f"{what}, item {index}, has shape {list(images[-1].shape)} where the first has "
                f"{list(images[0].shape)}; legal: one shape, (channels, height, width)"
            )
    if not images:
        raise DataError(f"{what} has no items; legal: 1 or more")
    return torch.stack(images), torch.tensor(labels, dtype=torch.int64)


def _image(image: Any) -> Tensor:
    """An image as ``[channels, H, W]``: a tensor as it is, arrays and PIL images with their channels moved to front."""
    if isinstance(image, Tensor):
        tensor = image
    else:
        tensor = torch.from_numpy(np.array(image))
        tensor = tensor.permute(2, 0, 1) if tensor.dim() == 3 else tensor
    tensor = tensor.unsqueeze(0) if tensor.dim() == 2 else tensor
    if tensor.dim() != 3:
        raise ValueError(
            f"an image has shape {list(tensor.shape)}; legal: (channels, height, width) or (height, width)"
        )
    return tensor


def _class_names(split: Any, *labels: Tensor) -> tuple[str, ...]:
    """The names that a data set gives its classes, or numbers."""
    count = 1 + max(int(part.max()) for part in labels)
    names = getattr(split, "classes", None)
    if isinstance(names, Sequence) and len(names) >= count:
        return tuple(str(name) for name in names)
    return tuple(str(index) for index in range(max(count, 2)))
