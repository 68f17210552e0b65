"""Blocks of interleaved legs: their order, what is kept of them, and a leg that fails."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measure.clock import CpuClock
from bench.measure.latency.legs import LegError, causes_of_leg_errors, sample_legs
from bench.store.sample import Sample

Calls = list[tuple[int, int]]  # the leg, and how many steps it ran


def timed(legs: int, calls: Calls, **options: Any) -> list[Sample]:
    """The samples of legs whose steps take a tenth of a second and are noted in ``calls``; the last leg is BP's."""
    now = [0.0]

    def leg(place: int) -> Callable[[int], object]:
        def run(loops: int) -> None:
            calls.append((place, loops))
            now[0] += 0.1 * loops

        return run

    *own, baseline = map(leg, range(legs))
    with patch("time.perf_counter", lambda: now[0]):
        return sample_legs(own, baseline, CpuClock(), 1e-9, **options)


def orders_of(legs: int, seed: int | None, blocks: int) -> list[list[int]]:
    """The order of the legs in each block; the last one is BP's."""
    calls: Calls = []
    order = None if seed is None else random.Random(seed)
    samples = timed(legs, calls, loops=1, fewest_blocks=blocks, order=order)
    assert all(len(sample.blocks_seconds) == blocks for sample in samples)
    places = [place for place, _ in calls][-2 * legs * blocks :]
    return [places[start : start + 2 * legs] for start in range(0, len(places), 2 * legs)]


@settings(max_examples=10, deadline=None)
@given(legs=st.integers(2, 6), seed=st.none() | st.integers(0, 1000), pairs=st.integers(1, 4))
def test_each_block_is_mirrored_in_itself_and_in_the_next_one(legs: int, seed: int | None, pairs: int) -> None:
    orders = orders_of(legs, seed, 2 * pairs)
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        assert first[:legs] == first[legs:][::-1] == second[legs:] == second[:legs][::-1]
        assert sorted(first[:legs]) == list(range(legs))
        # Any two legs are an ABBA pattern, so a linear drift cancels between them.
        for a, b in combinations(range(legs), 2):
            pattern = "".join("A" if place == a else "B" for place in first if place in (a, b))
            assert pattern in ("ABBA", "BAAB")


def test_the_order_is_random_where_it_is_asked_for_and_else_that_of_the_legs() -> None:
    assert all(order[:4] == [0, 1, 2, 3] for order in orders_of(4, None, 20)[::2])
    first_places = Counter(order[0] for order in orders_of(4, 1, 40)[::2])
    assert len(first_places) == 4
    assert orders_of(4, 1, 20) == orders_of(4, 1, 20) != orders_of(4, 2, 20)


def test_all_samples_share_the_times_of_bp() -> None:
    samples = timed(4, [], loops=2, fewest_blocks=4)
    assert len(samples) == 3
    times = [[block[1:3] for block in sample.blocks_seconds] for sample in samples]
    assert times[0] == times[1] == times[2]
    assert {sample.loops for sample in samples} == {2}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("calls_before", [0, 30])
def test_the_leg_that_raises_is_known(place: int, calls_before: int) -> None:
    class Calling(list[tuple[int, int]]):
        def append(self, call: tuple[int, int]) -> None:
            if call[0] == place and sum(leg == place for leg, _ in self) == calls_before:
                raise ValueError("no step")
            super().append(call)

    with pytest.raises(LegError) as raised:
        timed(3, Calling(), loops=1, fewest_blocks=40)
    assert raised.value.leg == (place if place < 2 else None)
    assert str(raised.value.__cause__) == "no step"
    with pytest.raises(ValueError, match="no step"), causes_of_leg_errors():
        timed(3, Calling(), loops=1, fewest_blocks=40)
