"""Image folders: JPEG or PNG files in ``ROOT/train/CLASS/`` and ``ROOT/test/CLASS/``."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench.errors import DataError

_SUFFIXES = {".jpg", ".jpeg", ".png"}
_MODES = {1: "L", 3: "RGB"}


def load_image_folder(
    root: Path, image_size: int | None, channels: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[str, ...]]:
    """Read both splits of an image folder, in the order of sorted names.

    Args:
        root: the directory that contains ``train`` and ``test``.
        image_size: height and width in pixels, to which images are resized (bilinear); None keeps the size, which must
            be the same for all images.
        channels: 1 for grey, 3 for colour; images are converted.

    Returns:
        Training images ``[N, channels, H, W]`` (uint8), training labels ``[N]`` (int64), the same for the test split,
        and the names of the classes.

    Raises:
        DataError: a directory is missing or has no images, the splits have different classes, a file is not an image,
            or images differ in size.
    """
    classes = _class_names(root / "train")
    if _class_names(root / "test") != classes:
        raise DataError(f"{root}: train and test have different classes; legal: the same directories in both")
    train = _read_split(root / "train", classes, image_size, channels)
    size = train[0].shape[-2:]
    test = _read_split(root / "test", classes, image_size, channels, expected=(size[1], size[0]))
    return *train, *test, classes


def _class_names(split: Path) -> tuple[str, ...]:
    try:
        names = tuple(sorted(entry.name for entry in split.iterdir() if entry.is_dir()))
    except OSError as error:
        raise DataError(
            f"no image folder at {split}: {error.strerror}. It must contain {split.parent}/train/CLASS/*.jpg and "
            f"{split.parent}/test/CLASS/*.jpg; set --data-root, and name a folder in it as image-folder:NAME."
        ) from None
    if len(names) < 2:
        raise DataError(f"{split} has {len(names)} class directories; legal: 2 or more")
    return names


def _read_split(
    split: Path,
    classes: tuple[str, ...],
    image_size: int | None,
    channels: int,
    expected: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor]:
    images, labels = [], []
    for label, name in enumerate(classes):
        files = sorted(path for path in (split / name).iterdir() if path.suffix.lower() in _SUFFIXES)
        if not files:
            raise DataError(f"{split / name} has no images; legal: files ending in {', '.join(sorted(_SUFFIXES))}")
        for path in files:
            picture = _read_image(path, image_size, _MODES[channels])
            expected = expected or picture.size
            if picture.size != expected:
                raise DataError(
                    f"{path} has {picture.size[0]}x{picture.size[1]} pixels, other images have {expected[0]}x"
                    f"{expected[1]}; set image_size to resize all images"
                )
            images.append(np.asarray(picture).reshape(expected[1], expected[0], channels))
            labels.append(label)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor(labels, dtype=torch.int64)


def _read_image(path: Path, image_size: int | None, mode: str) -> Image.Image:
    try:
        with Image.open(path) as file:
            picture = file.convert(mode)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from None
    if image_size is not None and picture.size != (image_size, image_size):
        picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return picture
