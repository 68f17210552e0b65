"""The median of few numbers is numpy's, to the bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.median import median_of

NUMBERS = st.floats(-1e300, 1e300)


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_it_is_numpys(values: list[float]) -> None:
    assert median_of(values) == np.median(values)


@settings(deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9))
def test_it_is_that_of_all_numbers_of_a_table(rows: list[tuple[float, float]]) -> None:
    assert median_of(np.array(rows)) == np.median(rows)
