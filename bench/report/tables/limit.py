"""Tables that show the first rows of many, so that a page of thousands of cells stays readable."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

MOST_ROWS = 200


@dataclass(frozen=True)
class Limited:
    """A table and the number of rows that it leaves out."""

    table: pd.DataFrame
    left_out: int = 0


def limited(rows: pd.DataFrame, table: Callable[[pd.DataFrame], pd.DataFrame], most: int = MOST_ROWS) -> Limited:
    """Return the table of the first ``most`` of ``rows``."""
    return Limited(table(rows.head(most)), max(0, len(rows) - most))
