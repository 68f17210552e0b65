"""The committed fits of ResNet-50 and ViT-B/16 are what the plan gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.measured import CUDA_ROUNDS_TO
from bench.config.check import make_cell
from bench.plan.grid import at_batch, memory_cells
from bench.plan.tasks import Failure, predict

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = ROOT / "results" / "reference"
GIBIBYTE = 2**30


def row_of(file: str, rule: str) -> dict[str, Any]:
    rows = json.loads((REFERENCE / f"{file}.json").read_text(encoding="utf-8"))["rows"]
    (row,) = (row for row in rows if row["rule"] == rule)
    return dict(row)


def planned_bytes(row: dict[str, Any], batch_size: int) -> int:
    axes = row["cell"] | {"device": "cuda", "passes": ["memory"]}
    answer = predict(at_batch(memory_cells([make_cell(axes)])[0], batch_size), CUDA_ROUNDS_TO)
    assert not isinstance(answer, Failure), answer.message
    (memory,) = answer
    return memory.peak_total_bytes


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "rule"),
    [
        ("fit-resnet50", "bp"),
        ("fit-resnet50", "sid-streamed micro-batches 8"),
        ("fit-vit_b_16", "sid-streamed"),
        ("fit-vit_b_16-combined", "bp micro-batches 8 recompute modules"),
    ],
)
def test_bytes_of_the_batch_and_of_the_largest_batch_are_those_of_the_plan(file: str, rule: str) -> None:
    row = row_of(file, rule)
    assert planned_bytes(row, row["cell"]["batch_size"]) == row["bytes"]["total"]
    budget = row["budgets"][0]
    assert budget["budget"] == "16GiB"
    assert planned_bytes(row, budget["largest_batch"]) == budget["largest_batch_bytes"] < 16 * GIBIBYTE


def test_a_batch_that_fits_is_no_larger_than_the_largest_batch() -> None:
    files = sorted(REFERENCE.glob("fit-*.json"))
    assert len(files) == 4
    for row in (row for file in files for row in json.loads(file.read_text(encoding="utf-8"))["rows"]):
        largest = [budget["largest_batch"] for budget in row["budgets"]]
        assert largest == sorted(largest)
        for budget in row["budgets"]:
            assert budget["fits"] == (row["cell"]["batch_size"] <= budget["largest_batch"])
            assert budget["largest_batch_bytes"] < budget["next_batch_bytes"]
