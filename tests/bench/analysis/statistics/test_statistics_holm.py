"""Holm's correction: its textbook example, monotony, and the levels of tests."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.statistics.holm import holm_adjusted, holm_levels
from bench.errors import BenchError

p_values = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.05, 1.0])), max_size=20)


def test_adjusted_p_values_and_levels_of_an_example() -> None:
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_levels([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert holm_levels([0.001, 0.001, 0.02]) == pytest.approx([0.05 / 3, 0.05 / 3, 0.05])
    assert holm_adjusted([]) == holm_levels([]) == []


@given(p_values)
def test_a_test_rejects_at_its_level_exactly_if_its_adjusted_p_value_does(values: list[float]) -> None:
    for value, level, adjusted in zip(values, holm_levels(values), holm_adjusted(values), strict=True):
        if not math.isclose(value, level):
            assert (value <= level) == (adjusted <= 0.05)


@given(p_values)
def test_adjustment_is_monotone_and_between_none_and_bonferroni(values: list[float]) -> None:
    adjusted = holm_adjusted(values)
    for value, own in zip(values, adjusted, strict=True):
        assert value <= own <= min(1.0, len(values) * value)
    ordered = [own for _, own in sorted(zip(values, adjusted, strict=True))]
    assert ordered == sorted(ordered)


@given(p_values, st.integers(0, 19), st.floats(0, 1))
def test_a_smaller_p_value_makes_no_adjusted_one_larger(values: list[float], index: int, factor: float) -> None:
    if index < len(values):
        smaller = [value * factor if place == index else value for place, value in enumerate(values)]
        pairs = zip(holm_adjusted(smaller), holm_adjusted(values), strict=True)
        assert all(after <= before + 1e-12 for after, before in pairs)


@given(p_values)
def test_equal_p_values_have_equal_levels(values: list[float]) -> None:
    by_value: dict[float, set[float]] = {}
    for value, level in zip(values, holm_levels(values), strict=True):
        by_value.setdefault(value, set()).add(level)
    assert all(len(levels) == 1 for levels in by_value.values())


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_what_is_no_p_value_is_refused(value: float) -> None:
    with pytest.raises(BenchError, match=r"legal: a number in \[0, 1\]"):
        holm_levels([0.5, value])
    with pytest.raises(BenchError, match=r"legal: a number in \[0, 1\]"):
        holm_adjusted([0.5, value])
