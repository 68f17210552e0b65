"""Image folders end to end: names of any bytes, damaged files, what is left out, and batches that do not fit."""

import json
import os
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import run_bench, sound_records
from image_folders import write_folder
from one_cell import measure_cell

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.file_names import escaped, path_of
from bench.errors import ConfigError
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ExecutorSettings, ForkServerExecutor

TINY = ("network=cascade-linear", "method=bp", "depth=1", "passes=accuracy,memory", "epochs=1", "batch_size=2")
NAMES = [b"bad\xff", b"two\nlines", '📷 é\'s "$HOME" `x`'.encode(), b"-rf *", b"[red]x", b":a:b", rb"back\xffslash"]


def run_arguments(results: Path, root: Path, *sets: str) -> list[object]:
    """Those of a tiny cell; ``sets`` replace its axes."""
    by_axis = {each.partition("=")[0]: each for each in (*TINY, *sets)}
    return [
        "run",
        "--out",
        results,
        "--data-root",
        root,
        *(part for each in by_axis.values() for part in ("--set", each)),
    ]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_folder_with_any_name_is_measured_stored_read_and_found_again(
    measuring_cli: RunCli, results: Path, tmp_path: Path, name: bytes
) -> None:
    text = os.fsdecode(name)
    root = write_folder(tmp_path / text, ("cat", text), train=4)
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / f"{text}.png")
    (root / "train" / f"{text}.txt").write_text("")
    arguments = run_arguments(results, tmp_path, f"dataset=image-folder:{text}")
    ended = measuring_cli(*arguments)
    assert ended.exit_code == 0, ended.output
    assert "entries left out: 1, such as train/" in ended.stdout
    (record,) = sound_records(results)
    assert (record.status, record.message) == ("ok", None)
    line = results.read_bytes().decode()
    assert json.loads(line)["cell"]["dataset"] == escaped(f"image-folder:{text}")
    assert record.cell.id == json.loads(line)["id"]
    assert len(ended.stdout.splitlines()) == 4, "one line for the start, the data, the cell and the end"
    again = measuring_cli(*arguments)
    assert "0 cells measured, 1 stored before" in again.stdout
    only = measuring_cli(*arguments, "--only", f"dataset=image-folder:{text}")
    assert "0 cells measured, 1 stored before" in only.stdout


@pytest.mark.long
def test_bytes_that_are_not_utf8_reach_a_run_through_its_arguments(tmp_path: Path) -> None:
    write_folder(tmp_path / os.fsdecode(b"bad\xff"), train=4)
    results = tmp_path / "results.jsonl"
    ended = run_bench(
        *run_arguments(results, tmp_path), "--set", os.fsdecode(b"dataset=image-folder:bad\xff"), cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr
    (record,) = sound_records(results)
    assert record.cell.dataset == r"image-folder:bad\xff"


def test_escapes_name_bytes_only_where_no_file_has_them_in_its_name(tmp_path: Path) -> None:
    assert path_of(r"bad\xff", tmp_path) == tmp_path / r"bad\xff"
    as_bytes = tmp_path / os.fsdecode(b"bad\xff")
    as_bytes.mkdir()
    assert path_of(r"bad\xff", tmp_path) == as_bytes
    (tmp_path / r"bad\xff").mkdir()
    assert path_of(r"bad\xff", tmp_path) == tmp_path / r"bad\xff"
    with pytest.raises(ConfigError, match=r"'image-folder:\\ud800' is not text"):
        make_cell({"dataset": "image-folder:\ud800", "passes": ["accuracy"]})


def test_code_in_a_folder_that_is_not_utf8_is_found(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"bad\xff")
    folder.mkdir()
    (folder / "nets.py").write_text("from torch import nn\n\nunits = [nn.Flatten(), nn.Linear(64, 4)]\n")
    cell = make_cell({"network": f"{folder}/nets.py:units", "passes": ["memory"]})
    assert cell.network == rf"{tmp_path}/bad\xff/nets.py:units"
    assert cell.depth == 2


def test_a_damaged_file_is_told_before_anything_is_measured(
    measuring_cli: RunCli, results: Path, tmp_path: Path
) -> None:
    root = write_folder(tmp_path / "pets")
    (root / "test" / "dog" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    ended = measuring_cli(*run_arguments(results, tmp_path, "dataset=image-folder:pets"))
    assert ended.exit_code == 2
    assert f"error: {root}/test/dog/0.png cannot be read as an image: " in ended.stderr
    assert not results.exists()


def folder_cell(**axes: object) -> Cell:
    return make_cell({"dataset": "image-folder:pets", "epochs": 1, "passes": ["accuracy"], "batch_size": 2, **axes})


def test_a_damaged_file_is_not_tried_again(server: ForkServer, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets")
    (root / "train" / "cat" / "0.png").write_bytes(b"")
    executor = ForkServerExecutor(ExecutorSettings(data_root=tmp_path), server)
    record = measure_cell(folder_cell(), executor, retries=3)
    assert (record.status, record.attempts) == ("crashed", 1)
    assert f"{root}/train/cat/0.png cannot be read" in str(record.message)


@pytest.mark.long
def test_a_note_on_the_data_is_told_once_and_not_if_quiet(measuring_cli: RunCli, results: Path, tmp_path: Path) -> None:
    root = write_folder(tmp_path / "pets")
    (root / "train" / "cat" / "notes.txt").write_text("")
    arguments = run_arguments(results, tmp_path, "dataset=image-folder:pets", "hidden=4,8")
    ended = measuring_cli(*arguments)
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.count("entries left out: 1, such as train/cat/notes.txt; legal: image files") == 1
    assert ended.stdout.index("left out") < ended.stdout.index("[1/2]")
    results.unlink()
    assert "left out" not in measuring_cli(*arguments, "--quiet").output


def test_a_last_batch_of_one_image_is_told_before_anything_is_measured(
    measuring_cli: RunCli, results: Path, tmp_path: Path
) -> None:
    write_folder(tmp_path / "pets", train=4, test=1)  # eight, of which one is for validation
    network = tmp_path / "nets.py"
    network.write_text("from torch import nn\n\nnormed = [nn.Flatten(), nn.BatchNorm1d(48), nn.Linear(48, 4)]\n")
    sets = ("dataset=image-folder:pets", "passes=accuracy", "depth=3", "modules=1")
    normed = (*sets, f"network={network}:normed")
    ended = measuring_cli(*run_arguments(results, tmp_path, *normed, "batch_size=7,5,3"))
    assert ended.exit_code == 2
    assert "batch_size = 3 makes a last batch of 1 image of the 7 of an epoch, and network" in ended.stderr
    assert "legal: 2 or 4" not in ended.stderr, "2 leaves one, too"
    assert ended.stderr.rstrip().endswith("legal: 4")
    assert not results.exists()
    assert measuring_cli(*run_arguments(results, tmp_path, *normed, "batch_size=7,5,4")).exit_code == 0
    other = measuring_cli(*run_arguments(results, tmp_path, *sets, "batch_size=3", "seed=1"))
    assert "1 cell measured, 1 ok" in other.stdout, "no BatchNorm"
