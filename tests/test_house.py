"""What the house promises: no torch where nothing is computed, stored ids that stay, rows instead of special cases."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method

ROOT = Path(__file__).parents[1]
REFERENCES = sorted((ROOT / "results" / "reference").glob("*.jsonl"))


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["run", "default", "--dry-run"], ["run", "gate", "--dry-run"], ["plan", "--help"]],
    ids=str,
)
@pytest.mark.long
def test_commands_that_compute_nothing_do_not_load_torch(arguments: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bench", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.stderr.splitlines()}
    assert "bench" in loaded
    assert not loaded & {"torch", "torchvision", "sid_core", "pandas", "matplotlib"}


@pytest.mark.parametrize("file", REFERENCES, ids=lambda file: file.stem)
def test_every_stored_id_is_still_the_hash_of_its_cell(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        content = json.loads(line)
        stored = Cell.model_validate(content["cell"])
        assert stored.id == content["id"]
        if load_method(stored.method).alias_of is None:
            assert make_cell(stored.model_dump()).id == content["id"]


def test_at_most_four_files_lie_loose_in_the_harness() -> None:
    assert len(list((ROOT / "bench").glob("*.py"))) <= 4


def test_no_method_is_read_by_the_name_of_an_attribute_and_no_cell_is_written_to() -> None:
    for file in (ROOT / "bench").rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "getattr(method" not in text, file
        assert "object.__setattr__" not in text, file
