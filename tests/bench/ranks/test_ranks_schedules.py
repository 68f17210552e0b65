"""BP through the stages of several ranks gives the gradients of BP on one."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from schedule_job import MICRO_BATCHES_A_RANK, SCHEDULES

from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.schedules import SCHEDULES as KNOWN_SCHEDULES
from bench.errors import ConfigError

RUNS = [f"{method} {kind}" for method in SCHEDULES for kind in (*MICRO_BATCHES_A_RANK, "transformer")]


@pytest.fixture(scope="module", params=[2, pytest.param(3, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.long
def test_two_steps_give_the_gradients_and_weights_of_one_rank(found: list[dict[str, Any]], run: str) -> None:
    for rank in found:
        assert rank[run]["gradients"] < 1e-12
        assert rank[run]["weights"] < 1e-12


@pytest.mark.parametrize("run", RUNS)
def test_each_parameter_is_on_one_rank(found: list[dict[str, Any]], run: str) -> None:
    held = sorted(name for rank in found for name in rank[run]["parameters"])
    assert held == found[0][run]["all"]
    assert all(rank[run]["modules"] == found[0][run]["modules"] for rank in found)
    assert sum(found[0][run]["modules"]) == 6


@pytest.mark.parametrize("run", RUNS)
def test_the_rank_of_the_last_stage_knows_the_loss(found: list[dict[str, Any]], run: str) -> None:
    knows = [rank[run] for rank in found if not math.isnan(rank[run]["losses"][0])]
    assert len(knows) == 1
    assert knows[0]["losses"] == pytest.approx(knows[0]["expected"], rel=1e-12)


@pytest.mark.parametrize("method", SCHEDULES)
@pytest.mark.long
def test_under_autocast_two_steps_give_the_gradients_of_one_rank_to_eight_bits(
    found: list[dict[str, Any]], method: str
) -> None:
    for rank in found:
        assert 0 < rank[f"{method} narrow"]["gradients"] < 0.03


def test_all_schedules_of_the_table_have_a_method() -> None:
    assert len(KNOWN_SCHEDULES) == len(SCHEDULES)


def of_batch_12(**axes: Any) -> Any:
    sizes = {"network": "pipeline-linear", "depth": 6, "batch_size": 12, "dataset": "random", "passes": ["memory"]}
    return make_cell({"method": "bp-1f1b", "ranks": 2, **sizes, **axes})


@pytest.mark.parametrize("method", SCHEDULES)
def test_there_is_one_micro_batch_a_rank_unless_the_cell_says_otherwise(method: str) -> None:
    for ranks in (2, 3):
        settings_for = load_method(method).settings_for
        assert settings_for(of_batch_12(method=method, ranks=ranks))["micro_batches"] == ranks
        assert settings_for(of_batch_12(method=method, ranks=ranks, micro_batches=12))["micro_batches"] == 12
        assert of_batch_12(method=method, ranks=ranks, micro_batches=ranks) == of_batch_12(method=method, ranks=ranks)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"micro_batches": 3}, "micro_batches = 3 for method 'bp-1f1b' on 2 ranks; legal: multiples of 2"),
        ({"micro_batches": 8}, "batch_size = 12 for method 'bp-1f1b' on 2 ranks; legal: multiples of 8"),
        ({"micro_batches": 0}, "micro_batches = 0; legal: an integer of 1 or more"),
    ],
)
def test_micro_batches_that_do_not_go_round_are_refused(axes: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        of_batch_12(**axes)
