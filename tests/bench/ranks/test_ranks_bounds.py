"""The least time that a schedule over ranks allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.train.ranks.bounds import StepTimes, busy_bound, flushed_bound, parallel_bound, pipelined_bound

seconds = st.floats(0.001, 10)


def even(modules: int, forward: float = 1.0, backward: float = 2.0, optimizer: float = 0.0) -> StepTimes:
    return StepTimes([forward] * modules, [0.0] * modules, [backward] * modules, [optimizer] * modules, 0.0)


@st.composite
def times_and_owners(draw: st.DrawFn) -> tuple[StepTimes, list[int]]:
    modules = draw(st.integers(2, 6))
    several = st.lists(seconds, min_size=modules, max_size=modules)
    times = StepTimes(draw(several), [0.0] * modules, draw(several), draw(several), 0.0)
    cut = draw(st.integers(1, modules - 1))
    return times, [0] * cut + [1] * (modules - cut)


def test_forward_locking_lets_two_ranks_reach_three_fifths() -> None:
    assert parallel_bound(even(5), [3, 2]) == pytest.approx(0.6)
    assert parallel_bound(even(4), [2, 2]) == pytest.approx(2 / 3)


def test_a_trunk_that_every_rank_runs_cannot_be_shared() -> None:
    times = StepTimes([1.0] * 5, [0.0] * 5, [2.0] * 5, [0.0] * 5, trunk=15.0)
    assert parallel_bound(times, [3, 2]) == pytest.approx((15 + 9) / 30)


def test_a_pipeline_of_sid_only_waits_for_its_first_batch() -> None:
    assert pipelined_bound(even(2), [0, 1], batches=1) == pytest.approx((1 + 3) / 6)
    assert pipelined_bound(even(2), [0, 1], batches=100) == pytest.approx((1 + 300) / 600)


@pytest.mark.parametrize("micro_batches", [1, 2, 4, 8])
def test_gpipe_idles_as_its_authors_say(micro_batches: int) -> None:
    """(S - 1) / (M + S - 1) of the time, S stages and M micro-batches."""
    for ranks in (2, 3, 4):
        idle = (ranks - 1) / (micro_batches + ranks - 1)
        assert flushed_bound(even(ranks), range(ranks), micro_batches) == pytest.approx(1 / ranks / (1 - idle))


@given(times_and_owners())
def test_no_schedule_beats_the_rank_with_most_to_do(case: tuple[StepTimes, list[int]]) -> None:
    times, owners = case
    least = busy_bound(times, owners)
    assert least * (1 + 1e-9) >= 0.5
    for bound in (pipelined_bound(times, owners, 10), flushed_bound(times, owners, 4)):
        assert bound >= least * (1 - 1e-9)


@given(times_and_owners(), st.integers(1, 50))
def test_longer_runs_and_more_micro_batches_never_raise_a_bound(case: tuple[StepTimes, list[int]], number: int) -> None:
    times, owners = case
    assert pipelined_bound(times, owners, number + 1) <= pipelined_bound(times, owners, number) * (1 + 1e-9)
    assert flushed_bound(times, owners, number + 1) <= flushed_bound(times, owners, number) * (1 + 1e-9)
