"""Real image files with random damage: each is read as an image of some size, or is an error that names the file."""

import io
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.errors import DataError
from bench.train.datasets.image_file import read_image

_FORMATS: dict[str, dict[str, object]] = {
    "png": {},
    "jpg": {"progressive": True},
    "webp": {"lossless": True},
    "gif": {},
    "tif": {},
    "tiff": {"compression": "tiff_lzw"},
    "bmp": {},
    "jp2": {},
    "ppm": {},
    "tga": {"compression": "tga_rle"},
    "pcx": {},
    "sgi": {},
    "qoi": {},
    "dds": {},
}


def original(suffix: str) -> bytes:
    """A colourful image with metadata and, where the format has palettes, a palette."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    if suffix in ("gif", "tif"):
        picture = picture.quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.init()
    options = {"exif": exif} if suffix in ("png", "jpg", "webp", "tiff") else {}
    picture.save(stream, Image.registered_extensions()[f".{suffix}"], **options, **_FORMATS[suffix])
    return stream.getvalue()


def damaged(content: bytes, random_: random.Random) -> bytes:
    """``content`` after one to three changes: bytes that differ, are cut off, repeated, exchanged or inserted."""
    data = bytearray(content)
    for _ in range(random_.randint(1, 3)):
        first, second = sorted(random_.randrange(len(data) + 1) for _ in range(2))
        kind = random_.randrange(6)
        if kind == 0:
            for _ in range(random_.randint(1, 8)):
                data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        elif kind == 1:
            del data[second:]
        elif kind == 2:
            del data[first : first + random_.randint(1, 40)]
        elif kind == 3:
            data[first:first] = data[first : first + 40]
        elif kind == 4:
            data[first : first + 12], data[second : second + 12] = data[second : second + 12], data[first : first + 12]
        else:
            # Sizes, offsets and counts of a header, at their limits.
            extreme = random_.choice([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
            at = random_.randrange(min(64, len(data) + 1))
            data[at : at + 4] = extreme
        if not data:
            break
    return bytes(data)


def read_damaged(path: Path, suffix: str, seeds: range) -> tuple[int, int]:
    """How many of the damaged files are images, and how many are errors."""
    content = original(suffix)
    images = errors = 0
    for seed in seeds:
        random_ = random.Random(f"{suffix} {seed}")
        channels, size = random_.choice([1, 3]), random_.choice([None, 5])
        path.write_bytes(damaged(content, random_))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                pixels = read_image(path, channels, size)
            except DataError as error:
                failure = str(error)
            else:
                failure = ""
        if failure:
            assert failure.startswith(f"{path} cannot be read as an image: "), seed
            errors += 1
            continue
        assert pixels.ndim == 3, seed
        assert pixels.shape[2] == channels, seed
        assert size is None or pixels.shape[:2] == (size, size), seed
        assert pixels.size, seed
        assert pixels.dtype == np.uint8 or (pixels.dtype == np.float32 and np.isfinite(pixels).all()), seed
        images += 1
    return images, errors


@pytest.mark.timeout(60)
@pytest.mark.parametrize("suffix", _FORMATS)
def test_a_damaged_file_is_an_image_or_an_error_that_names_it(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    images, errors = read_damaged(tmp_path / f"x.{suffix}", suffix, range(60))
    assert images  # the damage was not always so great that nothing was tried
    assert errors
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("suffix", _FORMATS)
def test_thousands_of_damaged_files(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    images, errors = read_damaged(tmp_path / f"x.{suffix}", suffix, range(60, 4000))
    assert images
    assert errors
    assert capfd.readouterr() == ("", "")
