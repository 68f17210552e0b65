"""One image file as an array: which formats and modes are read, and how each is scaled."""

import logging
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from bench.config.file_names import shown
from bench.errors import DataError, first_line

# Pillow knows these formats, but has no decoder for them, or runs another program.
_NOT_READ = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
# Formats whose grey values of more than 8 bits Pillow gives in the range of 16 bits, whatever their own number of bits.
_SCALED_TO_16_BITS = frozenset({"JPEG2000", "PNG", "PPM"})
_8_BITS = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"})  # or fewer, per channel
_MODES = {1: "L", 3: "RGB"}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
_WHITE_IS_ZERO = 0

# Python prints what nothing handles, and Pillow logs damage that it also raises an error for.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Pixels = np.ndarray[Any, np.dtype[Any]]


@cache
def suffixes() -> frozenset[str]:
    """The endings of the names of image files, in lower case, as ``.png``."""
    return frozenset(suffix.lower() for suffix, name in Image.registered_extensions().items() if name in _formats())


def read_image(path: Path, channels: int, image_size: int | None) -> Pixels:
    """Read one image file, upright as its EXIF orientation says; of several frames or pages, the first.

    Args:
        path: the file.
        channels: 1 for grey, 3 for colour; images are converted, and their transparency is dropped.
        image_size: height and width in pixels, to which the image is resized (bilinear); None keeps its size.

    Returns:
        ``[H, W, channels]`` from 0 to 255: uint8, or float32 for grey values of more than 8 bits.

    Raises:
        DataError: the file cannot be read or is no sound image, has more pixels than Pillow takes to be safe, or holds
            values that have no defined scale; the message names it.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            raise ValueError("it is not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Not by its name: Pillow then maps a TIFF into memory, and mixes up the sides of one that is to be turned.
            with path.open("rb") as stream, Image.open(stream, formats=_formats()) as file:
                with _no_output() if file.format == "TIFF" else nullcontext():
                    file.load()
                if 0 in file.size:
                    raise ValueError(f"it has {file.width}x{file.height} pixels")
                upright = ImageOps.exif_transpose(file)
                picture = upright.convert(_MODES[channels]) if file.mode in _8_BITS else _scaled(upright, file)
            if image_size is not None and picture.size != (image_size, image_size):
                picture = picture.resize((image_size, image_size), Image.Resampling.BILINEAR)
    except Exception as error:  # a damaged file raises whatever its decoder comes across
        raise DataError(f"{shown(path)} cannot be read as an image: {first_line(error)}") from error
    pixels = np.asarray(picture)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[:, :, None], channels, axis=2)
    return pixels


@contextmanager
def _no_output() -> Iterator[None]:
    """Discard what a library in C writes to the standard error, as libtiff does about each damage."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (not a path of ours)
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@cache
def _formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - _NOT_READ))


def _scaled(picture: Image.Image, file: Image.Image) -> Image.Image:
    """Grey values of more than 8 bits, from 0 to 255 in floating point; ``file`` is where ``picture`` comes from."""
    bits, is_inverted = None, False
    tags = getattr(file, "tag_v2", None)
    if file.format in _SCALED_TO_16_BITS and file.mode.startswith("I"):
        bits = 16
    elif tags is not None and file.mode.startswith("I;16"):
        bits, is_inverted = tags[_BITS_PER_SAMPLE][0], tags[_PHOTOMETRIC] == _WHITE_IS_ZERO
    if bits is None:
        raise ValueError(
            f"{file.format} with pixels of mode {file.mode!r} has no defined scale; legal: 8 bits a channel, or "
            "unsigned grey values of up to 16"
        )
    grey = np.asarray(picture).astype(np.float32) * (255 / (2**bits - 1))
    return Image.fromarray(255 - grey if is_inverted else grey)
