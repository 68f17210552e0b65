"""BP's own step time over the records: which share it, which disagree on it, and where it drifted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from record_builder import make_record

from bench.analysis.bp_times import times_of_bp
from bench.store.record import Record

Blocks = NDArray[np.float64]
METHODS = ("bp", "sid-published", "sid-streamed")


def bp_legs(*seconds: float, blocks: int = 4, seed: int = 0) -> list[Blocks]:
    """BP's two legs of each block, for one process per number of ``seconds``."""
    generator = np.random.default_rng(seed)
    return [second * np.exp(0.01 * generator.standard_normal((blocks, 2))) for second in seconds]


def timed(method: str, legs: list[Blocks], own: float = 0.009, **axes: Any) -> Record:
    """A record whose blocks hold BP's ``legs``."""
    blocks = [np.column_stack([np.full(len(part), own), part, np.full(len(part), own)]) for part in legs]
    cell = {"method": method, "passes": ["latency"], "processes": len(legs)} | axes
    return make_record(cell, latency=(0.9, 0.8, 1.0), blocks=blocks)


def grouped(legs: list[Blocks], **axes: Any) -> list[Record]:
    """Records of all methods that share BP's legs."""
    return [timed(method, legs, own, **axes) for own, method in enumerate(METHODS, start=1)]


def test_records_that_share_bps_legs_are_one_group_with_one_finding() -> None:
    usual = [record for depth in (2, 4) for record in grouped(bp_legs(*[0.01] * 5, seed=depth), depth=depth)]
    slow = grouped(bp_legs(0.01, 0.01, 0.018, 0.01, 0.01, seed=1), depth=8, modules=8)
    (drift,) = times_of_bp([*usual, *slow]).drift()
    group = "cascade-linear digits depth 8 modules 8 hidden 256 batch 128 adam processes 5"
    assert (drift.group, drift.process) == (group, 3)
    assert drift.factor == pytest.approx(1.8, rel=0.03)
    assert times_of_bp([*usual, *slow]).disagreements() == []
    for found in times_of_bp([*usual, *slow]).by_process():
        (record,) = set(found.records)
        assert len(found.records) == len(found.processes) == 5
        assert f"depth {next(one.cell.depth for one in [*usual, *slow] if one.id == record)} " in found.group


def test_records_timed_apart_that_disagree_are_named_with_their_times() -> None:
    records = [
        timed("bp", bp_legs(0.01)),
        timed("sid-streamed", bp_legs(0.0103, seed=1)),
        timed("bp", bp_legs(0.019, seed=2), recompute="modules"),
    ]
    (found,) = times_of_bp(records).disagreements()
    assert [method for method, _ in found.seconds] == ["bp", "sid-streamed", "bp recompute modules"]
    assert "differs by a factor of 1.89" in found.sentence
    assert "ms with bp recompute modules" in found.sentence
    assert times_of_bp(records[:2]).disagreements() == []


@pytest.mark.parametrize("factor", [1.04, 1.06])
def test_five_per_cent_between_records_is_the_limit(factor: float) -> None:
    records = [timed("bp", [np.full((4, 2), 0.01)]), timed("sid-streamed", [np.full((4, 2), 0.01 * factor)])]
    assert len(times_of_bp(records).disagreements()) == (factor > 1.05)


@pytest.mark.parametrize(
    "axes",
    [{"depth": 8}, {"seed": 1}, {"threads": 2}, {"latency_seconds": 0.5}, {"precision": "bfloat16"}, {"epochs": 3}],
)
def test_cells_that_are_not_compared_with_one_bp_are_not_one_group(axes: dict[str, Any]) -> None:
    records = [timed("bp", bp_legs(0.01)), timed("sid-streamed", bp_legs(0.02), **axes)]
    assert times_of_bp(records).disagreements() == []


@pytest.mark.parametrize("axes", [{"alpha": 0.7}, {"direction": "reverse"}, {"passes": ["memory", "latency"]}])
def test_what_belongs_to_the_method_does_not_part_a_group(axes: dict[str, Any]) -> None:
    records = [timed("bp", bp_legs(0.01)), timed("sid-streamed", bp_legs(0.02), **axes)]
    assert len(times_of_bp(records).disagreements()) == 1


def test_a_method_that_failed_in_some_processes_still_shares_the_others() -> None:
    legs = bp_legs(0.01, 0.018, 0.01, 0.01, 0.01)
    records = [timed("sid-streamed", [legs[1]], processes=5), *grouped(legs)]
    assert times_of_bp(records).disagreements() == []
    assert [drift.process for drift in times_of_bp(records).drift()] == [2]


def test_a_round_is_named_once_for_all_groups() -> None:
    records = [
        record
        for seed, depth in enumerate((4, 8, 16))
        for record in grouped(bp_legs(0.01, 0.015, 0.01, seed=seed), depth=depth, modules=depth)
    ]
    first, *rest = times_of_bp(records).drift()
    assert (first.group, first.process) == (None, 2)
    assert len(rest) == 3


def test_records_without_usable_times_are_left_out() -> None:
    assert times_of_bp([]).drift() == times_of_bp([]).disagreements() == []
    record = timed("bp", bp_legs(0.01, 0.01))
    assert record.latency is not None
    failed = make_record({"passes": ["latency"]}, status="oom")
    for update in ({"blocks_by_process": [1, 1]}, {"blocks_by_process": []}, {"blocks_seconds": []}):
        strange = record.model_copy(update={"latency": record.latency.model_copy(update=update)})
        assert times_of_bp([strange, failed]).drift() == times_of_bp([strange, failed]).disagreements() == []
    frozen = record.model_copy(
        update={"latency": record.latency.model_copy(update={"blocks_seconds": [(0.0, 0.0, 0.0, 0.0)] * 8})}
    )
    assert times_of_bp([frozen]).drift() == []


@given(st.permutations(range(6)), st.floats(0.01, 100))
def test_the_order_of_records_and_the_speed_of_the_machine_do_not_matter(order: list[int], scale: float) -> None:
    def records(unit: float) -> list[Record]:
        apart = [
            timed(method, bp_legs(unit * 0.01 * (1 + index), seed=index), depth=8)
            for index, method in enumerate(METHODS)
        ]
        return [*grouped(bp_legs(*(unit * factor for factor in (0.01, 0.02, 0.01)))), *apart]

    straight, mixed = records(1.0), [records(scale)[index] for index in order]
    assert {drift[:2] for drift in times_of_bp(straight).drift()} == {drift[:2] for drift in times_of_bp(mixed).drift()}
    names = [
        [[method for method, _ in one.seconds] for one in times_of_bp(part).disagreements()]
        for part in (straight, mixed)
    ]
    assert names[0] == names[1] == [list(METHODS)]
