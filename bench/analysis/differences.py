"""Differences of test accuracies between a method and BP, paired by cell and seed."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

Points = NDArray[np.float64]


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float


def paired_differences(rows: pd.DataFrame, series: str) -> Points:
    """Return last-epoch test accuracy of ``series`` minus BP's, in percentage points, for each cell that has both."""
    if rows.empty:
        return np.array([])
    own = rows[rows["series"] == series].set_index("pair")["accuracy.test_last"]
    baseline = rows[rows["is_baseline"]].drop_duplicates("pair").set_index("pair")["accuracy.test_last"]
    return 100 * (own - baseline.reindex(own.index)).dropna().to_numpy(dtype=float)


def t_interval(values: Points) -> Interval:
    """Return the mean of ``values`` ``[n]``, n >= 2, with a 95 % interval by Student's t distribution."""
    mean = float(values.mean())
    half = float(stats.sem(values) * stats.t.ppf(0.975, len(values) - 1))
    return Interval(mean, mean - half, mean + half)
