"""Image folders: which entries count, and what is said of those that do not fit."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_folders import write_folder
from PIL import Image

from bench.errors import DataError
from bench.train.datasets.image_folder import load_image_folder
from bench.train.datasets.own import RawData


def load(root: Path) -> RawData:
    return load_image_folder(root, None, 1)


def copy(path: Path, name: str) -> None:
    (path.parent / name).write_bytes(path.read_bytes())


def test_hidden_entries_are_neither_classes_nor_samples_and_are_not_reported(tmp_path: Path) -> None:
    plain = load(write_folder(tmp_path))
    for split in ("train", "test"):
        for name in (".ipynb_checkpoints", "__MACOSX", ".cache"):
            (tmp_path / split / name).mkdir()
            copy(tmp_path / split / "cat" / "0.png", f"../{name}/0.png")
            (tmp_path / split / "cat" / name).mkdir()
        (tmp_path / split / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
        (tmp_path / split / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
        (tmp_path / split / "cat" / ".link.png").symlink_to("nowhere")
    seen = load(tmp_path)
    assert seen.class_names == ("cat", "dog")
    assert torch.equal(seen.train_images, plain.train_images)
    assert torch.equal(seen.test_images, plain.test_images)
    assert seen.notes == ()


def test_image_files_of_every_kind_and_case_are_samples(tmp_path: Path) -> None:
    write_folder(tmp_path)
    for name in ("a.webp", "b.BMP", "c.Tif", "d.GIF", "e.JPEG"):
        Image.new("L", (4, 4), 77).save(tmp_path / "train" / "cat" / name)
    data = load(tmp_path)
    assert data.train_labels.tolist() == [0] * 8 + [1] * 3
    assert data.notes == ()


def test_entries_that_are_no_images_are_left_out_and_counted(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "train" / "labels.csv").write_text("")
    (tmp_path / "test" / "dog" / "notes\n.txt").write_text("")
    (tmp_path / "test" / "dog" / "more").mkdir()
    copy(tmp_path / "test" / "dog" / "0.png", "more/1.png")
    data = load(tmp_path)
    assert data.notes == (
        f"{tmp_path}: entries left out: 3, such as train/labels.csv; legal: image files, by their names, such as "
        "*.jpg, *.png, *.webp or *.tiff",
    )
    assert data.test_labels.tolist() == [0, 1]
    (tmp_path / "train" / "labels.csv").unlink()
    assert r"such as test/dog/more;" in load(tmp_path).notes[0]


def test_one_file_of_16_bits_makes_all_images_floats_of_the_same_scale(tmp_path: Path) -> None:
    plain = load(write_folder(tmp_path))
    assert plain.train_images.dtype == torch.uint8
    Image.fromarray(np.full((4, 4), 300, dtype=np.uint16)).save(tmp_path / "test" / "dog" / "0.png")
    deep = load(tmp_path)
    assert deep.train_images.dtype == deep.test_images.dtype == torch.float32
    assert torch.equal(deep.train_images, plain.train_images.float())
    assert deep.test_images[1].unique().item() == pytest.approx(300 / 257)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "train" / "eel").mkdir(), "different classes: eel is in train and not in test"),
        (lambda root: (root / "test" / "ape").mkdir(), "different classes: ape is in test and not in train"),
        (lambda root: (root / "test" / "dog").rename(root / "test" / "Dog"), "Dog is in test and not in train"),
        (lambda root: (root / "train" / "dog").rename(root / "dog"), r"train has 1 class directories; legal: 2 or"),
        (lambda root: (root / "test").rename(root / "tests"), r"no image folder at .*/test: No such file"),
        (lambda root: (root / "test" / "cat" / "0.png").unlink(), r"test/cat has no images among 0 entries; legal"),
        (
            lambda root: (root / "test" / "cat" / "0.png").rename(root / "test" / "cat" / "0"),
            r"test/cat has no images among 1 entries; legal: image files, by their names",
        ),
        (lambda root: (root / "train" / "eel").symlink_to("nowhere"), r"train/eel cannot be read: No such file"),
        (lambda root: (root / "train" / "eel").symlink_to("eel"), r"train/eel cannot be read: Too many levels"),
        (lambda root: (root / "train" / "self").symlink_to("."), "different classes: self is in train"),
        (lambda root: (root / "test" / "cat" / "1.png").symlink_to("no"), r"test/cat/1\.png cannot be read: No such"),
        (lambda root: (root / "test" / "cat" / "1.png").symlink_to("1.png"), r"test/cat/1\.png cannot be read: Too"),
        (lambda root: (root / "test" / "cat" / "1.png").mkdir(), r"test/cat/1\.png cannot be read as an image"),
        (
            lambda root: Image.new("L", (4, 5)).save(root / "test" / "cat" / "0.png"),
            r"test/cat/0\.png has 4x5 pixels, other images have 4x4; set image_size",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_an_error_that_names_the_entry(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    change(write_folder(tmp_path))
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_a_folder_that_is_a_file_or_has_an_impossible_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "train").write_text("")
    for root, message in ((tmp_path, "train cannot be read: Not a directory"), (tmp_path / "a\0b", r"no image folder")):
        with pytest.raises(DataError, match=message):
            load(root)


@pytest.mark.parametrize(
    "name", [b"bad\xff", b"two\nlines", '📷 é\'s "$HOME" `x`'.encode(), b"-rf *", b"[red]"], ids=ascii
)
def test_names_of_any_bytes_are_names_of_folders_classes_and_files(tmp_path: Path, name: bytes) -> None:
    plain = load(write_folder(tmp_path / "plain", ("cat", "dog")))
    text = os.fsdecode(name)
    root = write_folder(tmp_path / text, ("cat", "dog"))
    for split in ("train", "test"):
        (root / split / "dog").rename(root / split / f"z{text}")
        (root / split / "cat" / "0.png").rename(root / split / "cat" / f"-{text}.png")
    data = load(root)
    assert data.class_names == ("cat", f"z{text}")
    assert torch.equal(data.train_images, plain.train_images)
    (root / "train" / text).write_text("")
    (root / "test" / f"z{text}" / f"{text}.png").write_text("")
    with pytest.raises(DataError, match=r"\.png cannot be read") as caught:
        load(root)
    (root / "test" / f"z{text}" / f"{text}.png").unlink()
    (root / "train" / f"q{text}").mkdir()
    with pytest.raises(DataError, match="different classes") as other:
        load(root)
    (root / "train" / f"q{text}").rmdir()
    for line in (str(caught.value), str(other.value), *load(root).notes):
        assert re.search(r"[\ud800-\udfff\n]", line) is None
