"""``compare`` leaves a time out where both sides are what that time is compared with."""

from typing import Any

import numpy as np
import pytest
from record_builder import made_inference, make_record

from bench.analysis.compare import Change, compare
from bench.config.methods import FIXED_WORK
from bench.store.record import Record

CELL = {"dataset": "random", "depth": 2, "modules": 2, "processes": 5}
TIMES = ("step_time", "inference_time")


def blocks_of(ratio: float, seed: int) -> list[Any]:
    """Seconds of five processes whose ratios vary by 1 %."""
    shifts = ratio * np.exp(0.01 * np.random.default_rng(seed).standard_normal(5))
    return [[(0.01 * shift, 0.01, 0.01, 0.01 * shift)] * 4 for shift in shifts]


def predicting(method: str, modules: int, ratio: float, seed: int = 0) -> Record:
    """A record of the pass ``inference``."""
    blocks = blocks_of(ratio, seed)
    inference = made_inference(
        2000,
        2000,
        ratio,
        blocks_by_process=list(map(len, blocks)),
        blocks_seconds=[block for process in blocks for block in process],
    )
    cell = CELL | {"method": method, "modules": modules, "passes": ["inference"]}
    return make_record(cell, inference=inference)


def stepping(method: str, ratio: float, seed: int = 0, **axes: Any) -> Record:
    """A record of the pass ``latency``."""
    cell = CELL | {"method": method, "passes": ["latency"]} | axes
    return make_record(cell, latency=(ratio, 0.99 * ratio, 1.01 * ratio), blocks=blocks_of(ratio, seed))


def times(before: list[Record], after: list[Record]) -> list[Change]:
    return [change for change in compare(before, after).changes if change.quantity in TIMES]


@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_a_prediction_of_the_plain_network_is_not_compared_with_itself(method: str) -> None:
    before, after = predicting(method, 1, 1.0), predicting(method, 1, 1.0, seed=1)
    assert times([before], [after]) == []
    assert {change.quantity for change in compare([before], [after]).changes} == {"inference_bytes"}


def test_the_plain_network_does_not_count_in_the_correction() -> None:
    before, after = predicting("bp", 2, 1.2), predicting("bp", 2, 1.21, seed=1)
    (alone,) = times([before], [after])
    beside = times([before, predicting("bp", 1, 1.0)], [after, predicting("bp", 1, 1.0, seed=1)])
    assert beside == [alone]
    assert alone.amount is not None
    assert alone.amount.low is not None


@pytest.mark.parametrize(
    ("by", "reference", "other"),
    [
        ("method", stepping("bp", 1.0), stepping("sid-streamed", 1.5, seed=1)),
        ("recompute", stepping("bp", 1.0), stepping("bp", 1.5, seed=1, recompute="modules")),
        ("method", stepping("bp", 1.0), stepping(FIXED_WORK, 1.5, seed=1)),
        ("modules", predicting("bp", 1, 1.0), predicting("bp", 2, 1.5, seed=1)),
    ],
    ids=["method", "recompute", "fixed-work", "modules"],
)
def test_the_reference_is_compared_with_another_cell_on_either_side(by: str, reference: Record, other: Record) -> None:
    forth, back = (
        [one for one in compare([first], [second], by=by).changes if one.quantity in TIMES]
        for first, second in ((reference, other), (other, reference))
    )
    assert [one.word for one in (*forth, *back)] == ["worse", "better"]
    amounts = [one.amount.value for one in (*forth, *back) if one.amount is not None]
    assert amounts[0] == pytest.approx(50, abs=3)
    assert (1 + amounts[0] / 100) * (1 + amounts[1] / 100) == pytest.approx(1)
