"""Label noise from a file, from a suite to its page: what people said, and their transition matrix."""

from pathlib import Path

import pytest
from command_line import RunCli
from docs_pages import ROOT, blocks
from harness_tools import sound_records
from image_folders import write_folder
from page_reader import shown_text


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of cats and dogs, of which people took every third cat for a dog."""
    folder = write_folder(tmp_path / "photos", train=30, test=4)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("train/*/*.png"))
    said = ["dog" if "/cat/" in name and number % 3 == 0 else name.split("/")[1] for number, name in enumerate(names)]
    rows = [f"{name},{label},cat" for name, label in zip(names, said, strict=True)]
    (tmp_path / "people.csv").write_text("\n".join(["path,worst,other", *rows]) + "\n")
    return folder


@pytest.mark.long
def test_the_suite_of_the_documentation_is_measured_and_reported(
    measuring_cli: RunCli, photos: Path, results: Path, tmp_path: Path
) -> None:
    (text,) = (block for block in blocks(ROOT / "docs" / "networks-and-data.md", "toml") if "people.csv" in block)
    (tmp_path / "people.toml").write_text(text)
    run = ("run", tmp_path / "people.toml", "--out", results, "--data-root", photos.parent)
    ended = measuring_cli(*run)
    assert ended.exit_code == 0, ended.output
    records = sound_records(results)
    assert {(record.cell.noise_kind, record.cell.noise_rate) for record in records} == {("human", 1), ("matrix", 1)}
    for record in records:
        assert record.accuracy is not None
        assert record.data is not None
        assert record.data.noise_fingerprint is not None
        # Ten of 60 labels are wrong; six images are held out, and a matrix draws.
        low, high = (8 / 54, 10 / 54) if record.cell.noise_kind == "human" else (0.05, 0.3)
        assert low <= record.accuracy.realised_noise_rate <= high
    assert "0 cells measured, 4 stored before" in measuring_cli(*run).stdout
    page = tmp_path / "page.html"
    assert measuring_cli("report", results, "--out", page).exit_code == 0
    said = shown_text(page)
    assert "human label noise" in said
    assert "matrix label noise" in said
    assert "100 % label noise" not in said


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nobody.csv", "nobody.csv cannot be read: No such file or directory"),
        ("people.csv:best", "people.csv has no column 'best'; legal: worst, other"),
        ("people.csv", "people.csv has 2 columns; legal: noise_source = "),
    ],
)
def test_a_source_that_cannot_be_read_ends_a_run_before_anything_is_measured(
    measuring_cli: RunCli, photos: Path, results: Path, source: str, message: str
) -> None:
    axes = ("dataset=image-folder:photos", "network=cascade-linear", "passes=accuracy", "epochs=1")
    noise = ("noise_kind=human", f"noise_source={source}")
    sets = [part for each in (*axes, *noise) for part in ("--set", each)]
    ended = measuring_cli("run", "--out", results, "--data-root", photos.parent, *sets)
    assert ended.exit_code == 2, ended.output
    assert message in ended.stderr.replace("\n", " ")
    assert not results.exists() or not results.read_text()
