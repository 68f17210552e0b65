"""Columns of numbers stand to the right, others to the left."""

import pandas as pd
import pytest

from bench.report.columns import numeric_columns


@pytest.mark.parametrize(
    ("values", "is_numeric"),
    [
        (["1", "-0.5 [-1.2, +0.9]", "\N{EN DASH}"], True),
        (["+3 %", "baseline", "not measured"], True),
        (["0.98 [0.95, 1.02] (5 processes)", ""], True),
        (["12", "adam"], False),
        (["\N{EN DASH}", "not measured"], False),
        ([], False),
    ],
)
def test_a_column_is_numeric_if_all_its_values_are_numbers_or_absent(values: list[str], is_numeric: bool) -> None:
    frame = pd.DataFrame({"name": ["x"] * len(values), "value": values})
    assert numeric_columns(frame) == ({"value"} if is_numeric else set())
