"""The search for the largest batch: exact for every non-decreasing cost, with few evaluations."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan.search import largest_fitting

LIMITS = st.one_of(st.integers(1, 50), st.sampled_from([1000, 2**24]))


def search(cost: Callable[[int], int], budget: int, limit: int) -> tuple[int, list[int]]:
    """Return the result, and the batches that the search evaluated."""
    looks: list[int] = []

    def watched(batch: int) -> int:
        assert 1 <= batch <= limit
        assert batch not in looks, "no batch is looked at twice"
        looks.append(batch)
        return cost(batch)

    return largest_fitting(watched, budget, limit), looks


def assert_exact(cost: Callable[[int], int], budget: int, limit: int) -> list[int]:
    answer, looks = search(cost, budget, limit)
    assert answer == bisect_right(range(1, limit + 1), budget, key=cost)
    assert answer == 0 or answer in looks
    assert answer == limit or answer + 1 in looks
    return looks


@given(
    limit=LIMITS,
    steps=st.lists(st.tuples(st.integers(1, 2**22), st.integers(0, 2**30)), max_size=20),
    budget=st.integers(0, 2**32),
)
def test_the_search_is_exact_for_step_functions(limit: int, steps: list[tuple[int, int]], budget: int) -> None:
    starts = list(accumulate(width for width, _ in steps))
    heights = list(accumulate((rise for _, rise in steps), initial=0))
    looks = assert_exact(lambda batch: heights[bisect_right(starts, batch)], budget, limit)
    assert len(looks) <= 4 * 24 + 8


@given(
    limit=LIMITS,
    pieces=st.lists(st.tuples(st.integers(0, 2**30), st.integers(0, 2**20)), min_size=1, max_size=5),
    round_to=st.sampled_from([1, 512]),
    budget=st.integers(0, 2**36),
)
def test_the_search_is_exact_for_piecewise_affine_costs(
    limit: int, pieces: list[tuple[int, int]], round_to: int, budget: int
) -> None:
    assert_exact(
        lambda batch: max(-(-(base + slope * batch) // round_to) * round_to for base, slope in pieces), budget, limit
    )


@given(base=st.integers(0, 2**30), slope=st.integers(1, 2**20), budget=st.integers(0, 2**36))
def test_an_affine_cost_needs_at_most_six_evaluations(base: int, slope: int, budget: int) -> None:
    assert len(assert_exact(lambda batch: base + slope * batch, budget, 2**24)) <= 6


@pytest.mark.parametrize(("budget", "expected"), [(99, 0), (100, 2**24), (10**12, 2**24)])
def test_a_constant_cost_fits_for_all_batches_or_none(budget: int, expected: int) -> None:
    answer, looks = search(lambda _: 100, budget, 2**24)
    assert answer == expected
    assert len(looks) <= 8
