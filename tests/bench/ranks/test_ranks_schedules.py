"""BP through the stages of several ranks gives the gradients of BP on one."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from schedule_job import SCHEDULES

from bench.ranks.scheduled import STAGES_A_RANK, micro_batches


@pytest.fixture(scope="module", params=[2, 3])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank has found, by method."""
    folder = tmp_path_factory.mktemp("schedules")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(request.param)]
    ended = subprocess.run(
        [*command, str(Path(__file__).with_name("schedule_job.py")), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(request.param)]


@pytest.mark.parametrize("method", SCHEDULES)
def test_two_steps_give_the_gradients_and_weights_of_one_rank(found: list[dict[str, Any]], method: str) -> None:
    for rank in found:
        assert rank[method]["gradients"] < 1e-12
        assert rank[method]["weights"] < 1e-12


@pytest.mark.parametrize("method", SCHEDULES)
def test_each_parameter_is_on_one_rank(found: list[dict[str, Any]], method: str) -> None:
    held = sorted(name for rank in found for name in rank[method]["parameters"])
    assert held == found[0][method]["all"]
    assert all(rank[method]["modules"] == found[0][method]["modules"] for rank in found)
    assert sum(found[0][method]["modules"]) == 6


@pytest.mark.parametrize("method", SCHEDULES)
def test_the_rank_of_the_last_stage_knows_the_loss(found: list[dict[str, Any]], method: str) -> None:
    knows = [rank[method] for rank in found if not math.isnan(rank[method]["losses"][0])]
    assert len(knows) == 1
    assert knows[0]["losses"] == pytest.approx(knows[0]["expected"], rel=1e-12)


def test_all_schedules_of_the_table_have_a_method() -> None:
    assert len(STAGES_A_RANK) == len(SCHEDULES)
    assert [micro_batches(ranks) for ranks in (2, 3)] == [2, 3]
