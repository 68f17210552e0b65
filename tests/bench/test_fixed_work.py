"""Fixed work beside the methods: the same in every cell, and what BP's own step is compared with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from record_builder import make_record
from typer.testing import CliRunner

from bench.cli.app import app
from bench.config.methods import BASELINE, FIXED_WORK, load_method, rule_of
from bench.store.record import Record

CELL = {"dataset": "random", "depth": 2, "modules": 2, "passes": ["memory", "latency"], "processes": 5}


def test_it_is_the_same_work_each_time_and_leaves_the_network_alone() -> None:
    work = rule_of(load_method(FIXED_WORK))
    network = torch.nn.Linear(2, 2)
    losses = {float(work(network, None, None, None)) for _ in range(3)}
    assert len(losses) == 1
    assert losses != {0.0}
    assert all(parameter.grad is None for parameter in network.parameters())


def timed(method: str, ratio: float, memory: int = 1000) -> Record:
    """A record of five processes whose ratios to BP vary by 1 %."""
    blocks = [[(0.01 * ratio * shift, 0.01, 0.01, 0.01 * ratio * shift)] * 4 for shift in (0.98, 0.99, 1, 1.01, 1.02)]
    return make_record(CELL | {"method": method}, memory, (ratio, 0.99 * ratio, 1.01 * ratio), blocks=blocks)


def changes(folder: Path, before: list[Record], after: list[Record]) -> list[dict[str, Any]]:
    for name, records in (("a.jsonl", before), ("b.jsonl", after)):
        (folder / name).write_text("".join(f"{record.line()}\n" for record in records))
    result = CliRunner().invoke(app, ["compare", str(folder / "a.jsonl"), str(folder / "b.jsonl"), "--json"])
    found: list[dict[str, Any]] = json.loads(result.stdout)["changes"]
    return found


@pytest.mark.parametrize(("factor", "word"), [(1.2, "worse"), (1 / 1.2, "better")])
def test_a_step_of_bp_that_takes_longer_is_told_by_fixed_work(tmp_path: Path, factor: float, word: str) -> None:
    before = [timed(BASELINE, 1.0), timed(FIXED_WORK, 2.0)]
    after = [timed(BASELINE, 1.0), timed(FIXED_WORK, 2.0 / factor)]
    (of_bp,) = (change for change in changes(tmp_path, before, after) if change["quantity"] == "step_time")
    assert of_bp["word"] == word
    assert of_bp["amount"]["value"] == pytest.approx(100 * (factor - 1))
    assert of_bp["cell"].split(", ")[0] == BASELINE
    assert FIXED_WORK not in of_bp["cell"]
    assert "alpha" not in of_bp["cell"]


def test_its_own_bytes_are_not_compared(tmp_path: Path) -> None:
    found = changes(tmp_path, [timed(FIXED_WORK, 2.0)], [timed(FIXED_WORK, 2.0, memory=2000)])
    assert [change["quantity"] for change in found] == ["step_time"]
