"""Image folders: image files in ``ROOT/train/CLASS/`` and ``ROOT/test/CLASS/``."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.config.file_names import shown
from bench.errors import DataError
from bench.machine.kept_arrays import Array
from bench.train.datasets.image_cache import Decoded, ImageFile, decoded_once
from bench.train.datasets.image_file import read_image, suffixes
from bench.train.datasets.own import RawData

_MADE_BY_MACOS = "__MACOSX"  # a folder that it adds to archives
_LEGAL_FILES = "image files, by their names, such as *.jpg, *.png, *.webp or *.tiff"


def load_image_folder(root: Path, image_size: int | None, channels: int) -> RawData:
    """Read both splits of an image folder, in the order of sorted names.

    Images are decoded once, and kept as :mod:`bench.train.datasets.image_cache` says.

    Entries whose names begin with a dot, and ``__MACOSX``, do not count. Entries that by their names are no image files
    are left out; a note says how many.

    Args:
        root: the directory that contains ``train`` and ``test``.
        image_size: height and width in pixels, to which images are resized (bilinear); None keeps the size, which must
            be the same for all images.
        channels: 1 for grey, 3 for colour; see :func:`bench.train.datasets.image_file.read_image`.

    Returns:
        Images ``[N, channels, H, W]`` from 0 to 255: uint8, or float32 if a file has grey values of more than 8 bits.

    Raises:
        DataError: a directory is missing or has no images, the splits have different classes, a file cannot be read as
            an image, or images differ in size; the message names the directory or the file.
    """
    left_out: list[Path] = []
    train, test = root / "train", root / "test"
    classes = _class_names(train, left_out)
    _refuse_other_classes(root, set(classes), set(_class_names(test, left_out)))
    train_files, test_files = (_files_of(split, classes, left_out) for split in (train, test))
    decoded = decoded_once(
        root,
        [*train_files, *test_files],
        image_size,
        channels,
        lambda: _decode(train_files, test_files, image_size, channels),
    )
    return RawData(
        torch.from_numpy(decoded.train),
        _labels(train_files),
        torch.from_numpy(decoded.test),
        _labels(test_files),
        classes,
        notes=(*_notes(root, left_out), *decoded.notes),
        train_names=tuple(file.path.relative_to(root).as_posix() for file in train_files),
    )


def _decode(train: Sequence[ImageFile], test: Sequence[ImageFile], image_size: int | None, channels: int) -> Decoded:
    train_images = _read(train, image_size, channels)
    test_images = _read(test, image_size, channels, expected=train_images.shape[2:])
    dtype = np.promote_types(train_images.dtype, test_images.dtype)
    return Decoded(train_images.astype(dtype, copy=False), test_images.astype(dtype, copy=False))


def _class_names(split: Path, left_out: list[Path]) -> tuple[str, ...]:
    try:
        split.stat()
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        parent = shown(split.parent)
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(
            f"no image folder at {shown(split)}: {reason}. It must contain {parent}/train/CLASS/*.jpg and "
            f"{parent}/test/CLASS/*.jpg; set --data-root, and name a folder in it as image-folder:NAME."
        ) from None
    entries = _entries(split)
    left_out += [path for path, status in entries if not stat.S_ISDIR(status.st_mode)]
    names = tuple(path.name for path, status in entries if stat.S_ISDIR(status.st_mode))
    if len(names) < 2:
        raise DataError(f"{shown(split)} has {len(names)} class directories; legal: 2 or more")
    return names


def _refuse_other_classes(root: Path, in_train: set[str], in_test: set[str]) -> None:
    differing = sorted(in_train ^ in_test)
    if differing:
        only, other = ("train", "test") if differing[0] in in_train else ("test", "train")
        raise DataError(
            f"{shown(root)}: train and test have different classes: {shown(differing[0])} is in {only} and not in "
            f"{other}; legal: the same directories in both"
        )


def _files_of(split: Path, classes: tuple[str, ...], left_out: list[Path]) -> list[ImageFile]:
    files: list[ImageFile] = []
    for label, name in enumerate(classes):
        entries = _entries(split / name)
        images = [ImageFile(path, label, status) for path, status in entries if path.suffix.lower() in suffixes()]
        if not images:
            raise DataError(f"{shown(split / name)} has no images among {len(entries)} entries; legal: {_LEGAL_FILES}")
        files += images
        left_out += [path for path, _ in entries if path.suffix.lower() not in suffixes()]
    return files


def _entries(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The entries of ``folder`` that are not hidden, sorted by name, and what the file system says of each."""
    asked = folder
    entries = []
    try:
        for asked in sorted(folder.iterdir()):
            if not asked.name.startswith(".") and asked.name != _MADE_BY_MACOS:
                entries.append((asked, asked.stat()))
    except OSError as error:  # of an entry: a link that leads nowhere, or around in a circle
        raise DataError(f"{shown(asked)} cannot be read: {error.strerror}") from None
    return entries


def _read(
    files: Sequence[ImageFile], image_size: int | None, channels: int, expected: tuple[int, ...] | None = None
) -> Array:
    """The images, ``[N, channels, H, W]``; ``expected`` is height and width, None for those of the first."""
    images = []
    for path, _, _ in files:
        pixels = read_image(path, channels, image_size)
        height, width = pixels.shape[:2]
        expected = expected or (height, width)
        if (height, width) != expected:
            raise DataError(
                f"{shown(path)} has {width}x{height} pixels, other images have {expected[1]}x{expected[0]}; set "
                "image_size to resize all images"
            )
        images.append(pixels)
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2))


def _labels(files: Sequence[ImageFile]) -> Tensor:
    return torch.tensor([file.label for file in files], dtype=torch.int64)


def _notes(root: Path, left_out: list[Path]) -> tuple[str, ...]:
    if not left_out:
        return ()
    example = shown(left_out[0].relative_to(root))
    return (f"{shown(root)}: entries left out: {len(left_out)}, such as {example}; legal: {_LEGAL_FILES}",)
