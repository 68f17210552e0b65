"""Files in the current folder that are named as modules of libraries do not take the place of those libraries."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from harness_tools import TINY, bench_environment, sound_records, write_sweep

from bench.config.check import make_cell
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of

# Modules of the standard library, packages that sid-bench needs, and one that those import if it is there.
NAMES = (
    *("torch", "numpy", "queue", "pickle", "socket", "selectors", "tempfile", "logging", "multiprocessing", "random"),
    *("typer", "rich", "pydantic", "psutil", "sklearn", "tomllib", "statistics", "pathlib", "sid_core", "triton"),
)
IN_FOLDER = "raise ImportError('this file belongs to the user')\n"
RULE = """
import helper, queue, torch

def own(network, images, labels, objective):
    assert helper.IN_USE
    from bench.train.rules.bp import train_end_to_end
    return train_end_to_end(network, images, labels, None)
"""
# How a user starts it: by the script that pip writes, by the module, and by the module with "PYTHONPATH=:" as
# PYTHONPATH=$PYTHONPATH: gives it where it was not set. Python itself imports bench or sitecustomize in some of them.
STARTS = ("script", "module", "empty entry")
METHODS = ["sid-streamed", "own.py:own", "own_module:own"]


def fill(folder: Path, start: str) -> None:
    # With an empty entry, Python searches the folder from its start, in which a hook of pip's imports pathlib.
    for name in NAMES if start != "empty entry" else sorted(set(NAMES) - {"pathlib"}):
        (folder / f"{name}.py").write_text(IN_FOLDER, encoding="utf-8")
    for name in ("json", *(["bench"] if start == "script" else [])):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(IN_FOLDER, encoding="utf-8")
    if start != "empty entry":
        (folder / "sitecustomize.py").write_text("import os\nos._exit(77)\n", encoding="utf-8")


def start_in(folder: Path, start: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder.parent / "bin" / "sid-bench"
    script.parent.mkdir(exist_ok=True)
    script.write_text('from bench.cli import main\n\nif __name__ == "__main__":\n    main()\n', encoding="utf-8")
    command = [sys.executable, str(script)] if start == "script" else [sys.executable, "-m", "bench"]
    environment = bench_environment() | ({"PYTHONPATH": ":"} if start == "empty entry" else {})
    return subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture(params=STARTS)
def start(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, start: str) -> Path:
    """A folder with such files, with a sweep, and with two rules that import one of the user's files."""
    folder = tmp_path / "folder"
    folder.mkdir()
    fill(folder, start)
    write_sweep(folder / "tiny.toml", passes=["memory"], method=METHODS, dataset="random")
    for name in ("own.py", "own_module.py"):
        (folder / name).write_text(RULE, encoding="utf-8")
    (folder / "helper.py").write_text("IN_USE = True\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def expected_bytes() -> int:
    """The bytes of the first cell, predicted in this process."""
    cell = make_cell(TINY | {"method": METHODS[0], "dataset": "random"})
    return predict_memory(cell, *shape_of(cell)).peak_total_bytes


@pytest.mark.parametrize("start", ["script", "empty entry"], indirect=True)
@pytest.mark.long
def test_a_sweep_is_measured_in_a_folder_full_of_such_files(folder: Path, start: str, expected_bytes: int) -> None:
    run = start_in(folder, start, "run", "tiny.toml", "--out", "r.jsonl")
    assert run.returncode == 0, run.stderr
    records = sound_records(folder / "r.jsonl")
    assert [(record.cell.method, record.status, record.message) for record in records] == [
        (method, "ok", None) for method in METHODS
    ]
    assert records[0].memory is not None
    assert records[0].memory.peak_total_bytes == expected_bytes


@pytest.mark.parametrize("start", [pytest.param("script", marks=pytest.mark.slow), "module"], indirect=True)
@pytest.mark.long
def test_a_plan_is_made_in_a_folder_full_of_such_files(folder: Path, start: str, expected_bytes: int) -> None:
    plan = start_in(folder, start, "plan", "tiny.toml", "--jobs", "1", "--out", "plan.csv")
    assert plan.returncode == 0, plan.stderr
    with (folder / "plan.csv").open(encoding="utf-8") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert {row["message"] for row in rows.values()} == {""}
    assert set(METHODS) <= set(rows)
    assert int(rows[METHODS[0]]["peak_total_bytes"]) == expected_bytes
