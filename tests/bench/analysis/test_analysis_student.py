"""Student's t distribution agrees with SciPy's own."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.analysis.student import upper_quantile, upper_tail

DEGREES = st.floats(0.5, 1e6)


@given(st.floats(-30, 30), DEGREES)
def test_the_tail_is_that_of_scipy(value: float, degrees: float) -> None:
    assert upper_tail(value, degrees) == pytest.approx(stats.t.sf(value, degrees), rel=1e-12)


@given(st.floats(1e-12, 1 - 1e-9), DEGREES)
def test_the_quantile_is_that_of_scipy(probability: float, degrees: float) -> None:
    assert upper_quantile(probability, degrees) == pytest.approx(stats.t.isf(probability, degrees), rel=1e-9, abs=1e-9)


def test_infinite_degrees_are_the_normal_distribution() -> None:
    assert upper_tail(1.96, math.inf) == pytest.approx(stats.norm.sf(1.96))
    assert upper_quantile(0.025, math.inf) == pytest.approx(stats.norm.isf(0.025))
