"""One image file: every mode that Pillow knows, files that are damaged or no images at all."""

import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from bench.config.file_names import shown
from bench.errors import DataError
from bench.train.datasets.image_file import read_image, suffixes

GREY = np.arange(0, 256, dtype=np.float64).reshape(16, 16)


def saved(path: Path, picture: Image.Image, **options: Any) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm", "x.jp2"])
def test_grey_values_of_16_bits_keep_their_range_and_their_steps(tmp_path: Path, name: str) -> None:
    deep = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)
    path = saved(tmp_path / name, Image.fromarray(deep))
    for channels in (1, 3):
        pixels = read_image(path, channels, None)
        assert pixels.shape == (16, 16, channels)
        assert pixels.dtype == np.float32
        assert np.allclose(pixels, deep[:, :, None] / 257, atol=1e-3)
    assert read_image(path, 1, 5).shape == (5, 5, 1)


def tiff(path: Path, values: np.ndarray[Any, Any], bits: int, photometric: int, order: str = "<") -> Path:
    """A TIFF with one strip of packed grey values, as microscopes write it; Pillow writes none of 12 bits."""
    height, width = values.shape
    if bits == 16:
        strip = values.astype(f"{order}u2").tobytes()
    else:
        text = "".join(f"{value:0{bits}b}" for value in values.flatten())
        strip = int(text, 2).to_bytes(len(text) // 8, "big")
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8), (277, 1), (278, height)]
    tags.append((279, len(strip)))
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(strip))
    path.write_bytes(start + strip + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize(("is_inverted", "order"), [(False, "<"), (False, ">"), (True, "<")])
def test_a_tiff_of_16_bits_is_read_in_its_byte_order_and_with_its_white(
    tmp_path: Path, is_inverted: bool, order: str
) -> None:
    deep = np.arange(0, 65536, 1024).reshape(8, 8)
    pixels = read_image(tiff(tmp_path / "x.tif", deep, 16, 0 if is_inverted else 1, order), 1, None)[:, :, 0]
    expected = deep / 257
    assert np.allclose(pixels, 255 - expected if is_inverted else expected, atol=1e-3)


def test_a_tiff_of_12_bits_is_scaled_by_12_bits(tmp_path: Path) -> None:
    values = np.arange(0, 4096, 64).reshape(8, 8)
    values[-1, -1] = 4095
    pixels = read_image(tiff(tmp_path / "x.tif", values, 12, 1), 1, None)[:, :, 0]
    assert np.allclose(pixels, values / 4095 * 255, atol=1e-3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png_is_read_as_the_same_picture(tmp_path: Path, mode: str) -> None:
    grey = np.where(GREY > 127, 255, 0).astype(np.uint8)
    path = saved(tmp_path / "x.png", Image.fromarray(grey).convert(mode))
    for channels in (1, 3):
        pixels = read_image(path, channels, None)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, np.repeat(grey[:, :, None], channels, axis=2))


@pytest.mark.parametrize("transparency", [0, bytes([0, 128, 255, 7])])
def test_transparency_is_dropped_also_that_of_a_palette(tmp_path: Path, transparency: int | bytes) -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    path = saved(tmp_path / "x.png", palette, transparency=transparency)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(path, 3, None)[0, 0].tolist() == [40, 50, 60]
    colour = saved(tmp_path / "y.png", Image.new("RGBA", (4, 4), (1, 2, 3, 0)))
    assert read_image(colour, 3, None)[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_other_colour_spaces_become_red_green_and_blue(tmp_path: Path, mode: str) -> None:
    picture = Image.new("RGB", (8, 8), (200, 40, 90))
    path = saved(tmp_path / "x.tif", picture.convert(mode))
    assert np.abs(read_image(path, 3, None).astype(int) - [200, 40, 90]).max() <= 2


@pytest.mark.parametrize(("name", "mode"), [("x.tif", "F"), ("x.pfm", "F"), ("x.tif", "I"), ("x.tif", "LAB")])
def test_values_without_a_defined_scale_are_refused_with_the_files_name(tmp_path: Path, name: str, mode: str) -> None:
    path = saved(tmp_path / name, Image.new(mode, (4, 4)))
    with pytest.raises(
        DataError, match=rf"{name} cannot be read.*mode '{mode}\S*' has no defined scale; legal: 8 bits"
    ):
        read_image(path, 1, None)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.jpg", "x.tif"])
def test_images_are_turned_as_their_exif_orientation_says(tmp_path: Path, name: str, orientation: int) -> None:
    left, top, left_and_top = (np.zeros((8, 16), np.uint8) for _ in range(3))
    left[:, :8] = left_and_top[:, :8] = 200
    top[:4] = left_and_top[:4] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / name, Image.fromarray(left), exif=exif)
    pixels = read_image(path, 1, None)[:, :, 0].astype(int)
    # Where the stored left edge goes: (rows, columns) of the bright half.
    bright = {1: "left", 2: "right", 3: "right", 4: "left", 5: "top", 6: "top", 7: "bottom", 8: "bottom"}[orientation]
    halves = {"left": pixels[:, : pixels.shape[1] // 2], "right": pixels[:, pixels.shape[1] // 2 :]}
    halves |= {"top": pixels[: pixels.shape[0] // 2], "bottom": pixels[pixels.shape[0] // 2 :]}
    assert pixels.shape == ((8, 16) if orientation <= 4 else (16, 8))
    assert halves[bright].mean() > 190


def test_the_first_frame_of_several_is_read(tmp_path: Path) -> None:
    frames = [Image.new("L", (6, 6), value) for value in (10, 240)]
    for name in ("x.gif", "x.webp", "x.png", "x.tif"):
        path = saved(tmp_path / name, frames[0], save_all=True, append_images=frames[1:])
        with Image.open(path) as written:
            assert len(list(ImageSequence.Iterator(written))) == 2
        assert np.abs(read_image(path, 1, None).astype(int) - 10).max() <= 2


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".gif", ".tiff", ".ppm", ".jp2", ".jfif", ".tga"])
def test_what_pillow_can_read_counts_as_an_image(tmp_path: Path, suffix: str) -> None:
    assert suffix in suffixes()
    path = tmp_path / f"x{suffix}"
    Image.new("RGB", (8, 8), (9, 9, 9)).save(path)
    assert np.abs(read_image(path, 3, None).astype(int) - 9).max() <= 3


@pytest.mark.parametrize("suffix", [".eps", ".ps", ".h5", ".pdf", ".txt", ".csv", ".mpg", ""])
def test_what_has_no_decoder_or_runs_another_program_does_not(suffix: str) -> None:
    assert suffix not in suffixes()


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def a_broken_png(path: Path) -> None:
    content = bytearray(saved(path, Image.new("L", (8, 8))).read_bytes())
    content[20] ^= 1  # in the header, whose checksum is then wrong
    path.write_bytes(content)


def a_short_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    saved(path, Image.fromarray(noise), format="JPEG")
    path.write_bytes(path.read_bytes()[:-500])


DAMAGES = {
    "a broken PNG": a_broken_png,
    "a JPEG that is cut short": a_short_jpeg,
    "more pixels than are safe": lambda path: path.write_bytes(png_of_size(12_000, 12_000)),
    "far more pixels than are safe": lambda path: path.write_bytes(png_of_size(60_000, 60_000)),
    "an empty file": lambda path: path.write_bytes(b""),
    "no pixels": lambda path: path.write_bytes(b"P5\n0 0\n255\n"),
    "a text": lambda path: path.write_text("not an image\n"),
    "PostScript": lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n"),
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link that leads nowhere": lambda path: path.symlink_to("nowhere.png"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda _path: None,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_is_no_sound_image_is_an_error_that_names_the_file(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "picture.png"
    damage(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"/picture\.png cannot be read as an image: \w+: ."):
            read_image(path, 1, None)


def test_nothing_is_printed_about_a_tiff_of_too_many_channels(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", np.zeros((8, 8), dtype=int), 16, 1)
    content = path.read_bytes()
    samples = struct.pack("<HHII", 277, 4, 1, 1)
    assert content.count(samples) == 1
    path.write_bytes(content.replace(samples, struct.pack("<HHII", 277, 4, 1, 4000)))
    # In a process of its own: pytest handles what is logged here.
    program = (
        "import sys, pathlib\nfrom bench.errors import DataError\n"
        "from bench.train.datasets.image_file import read_image\n"
        "try: read_image(pathlib.Path(sys.argv[1]), 1, None)\nexcept DataError: sys.exit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


@pytest.fixture
def readable_folder() -> Iterator[Path]:
    """A folder that a user without rights may enter; root may read every file, so it becomes such a user."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_a_file_that_may_not_be_read_is_an_error_that_names_it(readable_folder: Path) -> None:
    path = saved(readable_folder / "secret.png", Image.new("L", (4, 4)))
    path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(DataError, match=r"/secret\.png cannot be read as an image: PermissionError"):
            read_image(path, 1, None)
    finally:
        os.seteuid(user)


def test_memory_that_runs_out_is_not_the_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_file: object) -> None:
        raise MemoryError

    path = saved(tmp_path / "x.png", Image.new("L", (4, 4)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(DataError) as caught:
        read_image(path, 1, None)
    assert isinstance(caught.value.__cause__, MemoryError)  # from which a cell's process tells that memory ran out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"plain name.png", "plain name.png"),
        ('📷 é\'s "$HOME".png'.encode(), '📷 é\'s "$HOME".png'),
        (b"bad\xff.png", r"bad\udcff.png"),
        (b"two\nlines\x1b[31m.png", r"two\nlines\x1b[31m.png"),
    ],
)
def test_names_are_shown_on_one_line_that_can_be_printed(tmp_path: Path, name: bytes, text: str) -> None:
    path = tmp_path / os.fsdecode(name)
    assert shown(path) == f"{tmp_path}/{text}"
    path.write_bytes(b"")
    with pytest.raises(DataError) as caught:
        read_image(path, 1, None)
    assert str(caught.value).startswith(f"{tmp_path}/{text} cannot be read")
    assert "\n" not in str(caught.value)
    str(caught.value).encode()
