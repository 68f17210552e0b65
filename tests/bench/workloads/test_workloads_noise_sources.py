"""Label noise from files: labels that people gave, and transition matrices."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_folders import write_folder
from PIL import Image

from bench.config.check import make_cell
from bench.errors import ConfigError, DataError
from bench.train.datasets.noise_source import load_noise_source
from bench.train.datasets.own import RawData
from bench.train.datasets.splits import load_splits
from bench.train.noise import corrupt_labels

NAMES = ("ant", "bee", "cat")
TRUE = [0, 0, 1, 1, 2, 2]
GIVEN = [0, 1, 1, 1, 2, 0]
PATHS = tuple(f"train/{NAMES[label]}/{number}.png" for number, label in enumerate(TRUE))


def data(paths: tuple[str, ...] | None = None) -> RawData:
    labels = torch.tensor(TRUE)
    return RawData(torch.zeros(6, 1, 2, 2), labels, torch.zeros(1, 1, 2, 2), labels[:1], NAMES, train_names=paths)


def human(source: str, raw: RawData, folder: Path) -> list[int]:
    found = load_noise_source("human", source, raw, folder)
    assert found.labels is not None
    return found.labels.tolist()


def matrix(source: str, raw: RawData, folder: Path) -> list[list[float]]:
    found = load_noise_source("matrix", source, raw, folder)
    assert found.labels is None
    return found.matrix.tolist()


def write_csv(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def by_path(path: Path, lines: list[str] | None = None) -> Path:
    rows = [f"{name},{NAMES[true]},{NAMES[label]}" for name, true, label in zip(PATHS, TRUE, GIVEN, strict=True)]
    return write_csv(path, "path,clean,worst", *(rows[::-1] if lines is None else lines))


def test_labels_of_a_csv_belong_to_the_images_by_their_paths(tmp_path: Path) -> None:
    by_path(tmp_path / "people.csv")
    assert human("people.csv:worst", data(PATHS), tmp_path) == GIVEN
    assert human("people.csv:clean", data(PATHS), tmp_path) == TRUE
    assert human(f"{tmp_path}/people.csv:worst", data(PATHS), Path("/nowhere")) == GIVEN


def test_a_csv_without_paths_is_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    write_csv(tmp_path / "numbers.csv", "label", *map(str, GIVEN))
    assert human("numbers.csv", data(), tmp_path) == GIVEN
    (tmp_path / "a:b.csv").write_bytes((tmp_path / "numbers.csv").read_bytes())
    assert human("a:b.csv", data(), tmp_path) == GIVEN


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_labels_of_a_pt_and_an_npy_are_read_as_cifar10n_holds_them(tmp_path: Path, kind: Any) -> None:
    labels = np.array(GIVEN, dtype=kind)
    torch.save({"worse_label": labels, "clean_label": np.array(TRUE)}, tmp_path / "people.pt")
    torch.save(torch.from_numpy(labels), tmp_path / "one.pt")
    np.save(tmp_path / "people.npy", labels)
    assert human("people.pt:worse_label", data(PATHS), tmp_path) == GIVEN
    assert human("people.pt:clean_label", data(), tmp_path) == TRUE
    assert human("one.pt", data(), tmp_path) == GIVEN
    assert human("people.npy", data(), tmp_path) == GIVEN


class Malicious:
    """Writes a file where it is read by pickle."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["pt", "npy"])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, suffix: str) -> None:
    touched = tmp_path / "touched"
    if suffix == "pt":
        torch.save({"worse_label": Malicious(touched)}, tmp_path / "bad.pt")
    else:
        np.save(tmp_path / "bad.npy", np.array([Malicious(touched)], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=rf"bad\.{suffix} cannot be read"):
        human(f"bad.{suffix}", data(), tmp_path)
    assert not touched.exists()


def test_a_matrix_of_a_file_has_a_row_for_each_class(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", "0.5,0.5,0", "0,1,0", " 0.25, 0.25, 0.5")
    assert matrix("t.csv", data(), tmp_path) == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]]


def test_the_matrix_of_labels_holds_their_shares_within_each_class(tmp_path: Path) -> None:
    by_path(tmp_path / "people.csv")
    assert matrix("of=people.csv:worst", data(PATHS), tmp_path) == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]


LABELS = {
    "missing.csv": (None, "missing.csv cannot be read: No such file"),
    "label.txt": ("label\n", "label.txt is no file of labels that can be read; legal: .csv, .npy or .pt"),
    "empty.csv": ("", "empty.csv has 0 columns; legal: noise_source = .*empty.csv:NAME of none"),
    "many.csv": ("a,b\n1,1\n", "many.csv has 2 columns; legal: noise_source = .*many.csv:NAME of a, b"),
    "many.csv:c": ("a,b\n1,1\n", "many.csv has no column 'c'; legal: a, b"),
    "ragged.csv": ("a\n1\n1,2\n", "row 3 has 2 values, the header 1"),
    "short.csv": ("a\n1\n2\n", r"labels of shape \[2\]; legal: \[6\], one for each training image"),
    "name.csv": ("a\nant\nbee\ncat\ndog\nant\nbee\n", r"the label 'dog'; legal: the names of the classes \(ant, bee"),
    "outside.csv": ("a\n0\n1\n2\n3\n0\n1\n", "the label '3'"),
    "paths.csv": ("path,a\nx,1\n", "a column 'path', and the images of this data set have no path"),
    "broken.pt": ("not a file of torch", "broken.pt cannot be read"),
    "broken.npy": ("not an array", "broken.npy cannot be read"),
}


@pytest.mark.parametrize("source", LABELS)
def test_labels_that_do_not_fit_are_an_error_that_names_the_file(tmp_path: Path, source: str) -> None:
    text, message = LABELS[source]
    if text is not None:
        (tmp_path / source.partition(":")[0]).write_text(text)
    with pytest.raises(DataError, match=message):
        human(source, data(), tmp_path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0.0] * 6), "labels of torch.float64; legal: integers"),
        (np.array([True] * 6), "labels of torch.bool; legal: integers"),
        (np.array([0, 0, 0, 0, 0, -1]), "the label -1; legal: 0 to 2"),
        (np.array([0, 0, 0, 0, 0, 3]), "the label 3; legal: 0 to 2"),
        (np.zeros((6, 1), dtype=int), r"shape \[6, 1\]; legal: \[6\]"),
    ],
)
def test_arrays_that_do_not_fit_are_an_error(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "x.npy", array)
    torch.save({"a": array}, tmp_path / "x.pt")
    for source in ("x.npy", "x.pt:a"):
        with pytest.raises(DataError, match=message):
            human(source, data(), tmp_path)


def test_an_image_without_a_label_or_with_two_is_an_error(tmp_path: Path) -> None:
    rows = by_path(tmp_path / "people.csv").read_text().splitlines()[1:]
    by_path(tmp_path / "fewer.csv", rows[1:])
    with pytest.raises(DataError, match=r"fewer.csv has no label for 1 of 6 training images, such as train/cat/5.png"):
        human("fewer.csv:worst", data(PATHS), tmp_path)
    by_path(tmp_path / "twice.csv", [*rows, rows[0]])
    with pytest.raises(DataError, match=r"two rows for train/cat/5.png"):
        human("twice.csv:worst", data(PATHS), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,0\n0,1\n", "2 rows of 2 numbers; legal: 3 rows of 3"),
        ("1,0,0\n0,1,0\n0,0\n", "no matrix of numbers"),
        ("1,0,0\n0,x,0\n0,0,1\n", "no matrix of numbers"),
        ("1,0,0\n0,1,0\n0,0,0.5\n", r"row 3 is \[0.0, 0.0, 0.5\], with the sum 0.5"),
        ("1,0,0\n2,-1,0\n0,0,1\n", "row 2 is"),
        ("1,0,0\nnan,1,0\n0,0,1\n", "row 2 is"),
        ("", "0 rows of 0"),
    ],
)
def test_a_matrix_that_is_none_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        matrix("t.csv", data(), tmp_path)


@given(st.integers(0, 10**6), st.floats(0, 1))
def test_human_labels_replace_a_label_with_the_probability_of_the_rate(seed: int, rate: float) -> None:
    labels = torch.arange(2000) % 5
    people = (labels + 2) % 5
    noisy, realised = corrupt_labels(labels, 5, "human", rate, seed, human_labels=people)
    assert bool(((noisy == labels) | (noisy == people)).all())
    assert abs(realised - rate) < 0.06
    assert torch.equal(corrupt_labels(labels, 5, "human", 1.0, seed, human_labels=people)[0], people)


@given(st.integers(0, 10**6), st.integers(2, 6))
def test_labels_of_a_matrix_have_its_probabilities(seed: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(classes, classes, generator=generator, dtype=torch.float64)
    probabilities[:, 0] = 0
    probabilities /= probabilities.sum(1, keepdim=True)
    labels = torch.arange(4000 * classes) % classes
    noisy, _ = corrupt_labels(labels, classes, "matrix", 1.0, seed, matrix=probabilities)
    shares = torch.stack([torch.bincount(noisy[labels == label], minlength=classes) for label in range(classes)]) / 4000
    assert float((shares - probabilities).abs().max()) < 5 * (0.25 / 4000) ** 0.5
    assert int(shares[:, 0].count_nonzero()) == 0, "a label of probability 0 was drawn"


@pytest.mark.parametrize("kind", ["human", "matrix"])
def test_noise_without_its_source_is_an_error(kind: Any) -> None:
    with pytest.raises(DataError, match=f"noise_kind = '{kind}': the data set has no"):
        corrupt_labels(torch.arange(4), 4, kind, 1.0, 0)
    with pytest.raises(ConfigError, match=f"noise_source is missing for noise_kind = '{kind}'; legal: for noise_kind"):
        make_cell({"noise_kind": kind})


def test_a_cell_names_a_source_only_where_its_noise_reads_one() -> None:
    people = make_cell({"noise_kind": "human", "noise_source": "people.csv:worst"})
    assert (people.noise_rate, people.noise_source) == (1.0, "people.csv:worst")
    assert make_cell({"noise_kind": "human", "noise_source": "people.csv", "noise_rate": 0}) == make_cell({})
    symmetric = make_cell({"noise_rate": 0.4, "noise_source": "people.csv"})
    assert symmetric == make_cell({"noise_rate": 0.4})
    with pytest.raises(ConfigError, match=r"noise_source = 'of=people\.csv' for noise_kind = 'human'"):
        make_cell({"noise_kind": "human", "noise_source": "of=people.csv"})
    with pytest.raises(ConfigError, match="noise_source = 'of='"):
        make_cell({"noise_kind": "matrix", "noise_source": "of="})


def test_both_splits_of_an_image_folder_get_the_labels_of_their_own_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", train=20)
    paths = sorted(folder.glob("train/*/*.png"), key=lambda path: int(np.asarray(Image.open(path))[0, 0]))
    said = [number % 3 % 2 for number in range(len(paths))]  # by brightness, which no other image shares
    lines = (f"{path.relative_to(folder).as_posix()},{label}" for path, label in zip(paths, said, strict=True))
    write_csv(tmp_path / "people.csv", "path,label", *lines)
    axes = {"dataset": "image-folder:pets", "noise_kind": "human", "noise_source": "people.csv"}
    splits = load_splits(make_cell(axes), tmp_path)
    assert splits.train.human_labels is not None
    assert splits.validation.human_labels is not None
    brightness = torch.cat([splits.train.images, splits.validation.images])[:, 0, 0, 0]
    found = torch.cat([splits.train.human_labels, splits.validation.human_labels])
    assert found[brightness.argsort()].tolist() == said


def test_the_source_of_noise_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", train=20)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("train/*/*.png"))
    axes = {"dataset": "image-folder:pets", "noise_kind": "human", "noise_source": "people.csv"}
    found = []
    for label in ("cat", "dog"):
        write_csv(tmp_path / "people.csv", "path,label", *(f"{name},{label}" for name in names))
        found.append(load_splits(make_cell(axes), tmp_path))
    clean = load_splits(make_cell({"dataset": "image-folder:pets"}), tmp_path)
    assert len({splits.fingerprint for splits in (*found, clean)}) == 1
    assert clean.noise_fingerprint is None
    assert None not in {found[0].noise_fingerprint, found[1].noise_fingerprint}
    assert found[0].noise_fingerprint != found[1].noise_fingerprint


def test_arrays_that_an_older_numpy_wrote_are_read(tmp_path: Path) -> None:
    """The files of CIFAR-10N name NumPy's functions by the modules of NumPy 1."""
    torch.save({"worse_label": np.array(GIVEN)}, tmp_path / "new.pt")
    with zipfile.ZipFile(tmp_path / "new.pt") as new, zipfile.ZipFile(tmp_path / "old.pt", "w") as old:
        for name in new.namelist():
            content = new.read(name)
            if name.endswith("data.pkl"):
                assert b"cnumpy._core.multiarray\n" in content
                content = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
            old.writestr(name, content)
    assert human("old.pt:worse_label", data(), tmp_path) == GIVEN
