"""Blocks of interleaved legs: their order, what is kept of them, and a leg that fails."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measure.clock import CpuClock
from bench.measure.latency.legs import LegError, causes_of_leg_errors, sample_legs

Legs = list[Callable[[int], object]]
Calls = list[tuple[int, int]]  # the leg, and how many steps it ran
MakeLegs = Callable[[int, Calls], Legs]


@pytest.fixture(scope="module", autouse=True)
def fake_time() -> Iterator[list[float]]:
    """The seconds that ``time.perf_counter`` returns, which only legs advance."""
    now = [0.0]
    with patch("time.perf_counter", lambda: now[0]):
        yield now


@pytest.fixture(scope="module")
def recorded(fake_time: list[float]) -> MakeLegs:
    """Makes legs whose steps take a tenth of a second and are noted in a list."""

    def make(legs: int, calls: Calls) -> list[Callable[[int], object]]:
        def leg(place: int) -> Callable[[int], object]:
            def run(loops: int) -> None:
                calls.append((place, loops))
                fake_time[0] += 0.1 * loops

            return run

        return [leg(place) for place in range(legs)]

    return make


def orders_of(recorded: MakeLegs, legs: int, seed: int | None, blocks: int) -> list[list[int]]:
    """The order of the legs in each block; the last one is BP's."""
    calls: Calls = []
    *own, baseline = recorded(legs, calls)
    order = None if seed is None else random.Random(seed)
    samples = sample_legs(own, baseline, CpuClock(), 1e-9, loops=1, fewest_blocks=blocks, order=order)
    assert all(len(sample.blocks_seconds) == blocks for sample in samples)
    places = [place for place, _ in calls][-2 * legs * blocks :]
    return [places[start : start + 2 * legs] for start in range(0, len(places), 2 * legs)]


@settings(max_examples=30, deadline=None)
@given(legs=st.integers(2, 6), seed=st.none() | st.integers(0, 1000), pairs=st.integers(1, 4))
def test_each_block_is_mirrored_in_itself_and_in_the_next_one(
    recorded: MakeLegs, legs: int, seed: int | None, pairs: int
) -> None:
    orders = orders_of(recorded, legs, seed, 2 * pairs)
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        assert first[:legs] == first[legs:][::-1] == second[legs:] == second[:legs][::-1]
        assert sorted(first[:legs]) == list(range(legs))
        # Any two legs are an ABBA pattern, so a linear drift cancels between them.
        for a, b in combinations(range(legs), 2):
            pattern = "".join("A" if place == a else "B" for place in first if place in (a, b))
            assert pattern in ("ABBA", "BAAB")


def test_the_order_is_random_where_it_is_asked_for_and_else_that_of_the_legs(recorded: MakeLegs) -> None:
    assert all(order[:4] == [0, 1, 2, 3] for order in orders_of(recorded, 4, None, 20)[::2])
    first_places = Counter(order[0] for order in orders_of(recorded, 4, 1, 40)[::2])
    assert len(first_places) == 4
    assert orders_of(recorded, 4, 1, 20) == orders_of(recorded, 4, 1, 20) != orders_of(recorded, 4, 2, 20)


def test_all_samples_share_the_times_of_bp(recorded: MakeLegs) -> None:
    *own, baseline = recorded(4, [])
    samples = sample_legs(own, baseline, CpuClock(), 1e-9, loops=2, fewest_blocks=4)
    assert len(samples) == 3
    times = [[block[1:3] for block in sample.blocks_seconds] for sample in samples]
    assert times[0] == times[1] == times[2]
    assert {sample.loops for sample in samples} == {2}


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("calls_before", [0, 30])
def test_the_leg_that_raises_is_known(recorded: MakeLegs, place: int, calls_before: int) -> None:
    calls: Calls = []
    legs = recorded(3, calls)

    def fails(loops: int) -> None:
        if sum(leg == place for leg, _ in calls) >= calls_before:
            raise ValueError("no step")
        works(loops)

    works = legs[place]
    legs[place] = fails
    with pytest.raises(LegError) as raised:
        sample_legs(legs[:2], legs[2], CpuClock(), 1e-9, loops=1, fewest_blocks=40)
    assert raised.value.leg == (place if place < 2 else None)
    assert str(raised.value.__cause__) == "no step"
    with pytest.raises(ValueError, match="no step"), causes_of_leg_errors():
        sample_legs(legs[:2], legs[2], CpuClock(), 1e-9, loops=1, fewest_blocks=40)
