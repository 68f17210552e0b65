"""The median of few numbers."""

import numpy as np
from numpy.typing import ArrayLike


def median_of(values: ArrayLike) -> float:
    """Return the median of one or more numbers, none of which is NaN: numpy's own takes ten times as long for few."""
    ordered = np.sort(values, axis=None)
    middle = ordered.size // 2
    return float(ordered[middle] if ordered.size % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
