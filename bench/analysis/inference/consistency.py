"""Whether intervals keep their promise: the same suite, measured again and again, on one machine."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bench.errors import BenchError

_NORMAL = 1.959964  # half the width of a 95 % interval in standard errors


class Measured(NamedTuple):
    """A value with the ends of its 95 % interval; for ratios, on the log scale."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Consistency:
    """How well the intervals of repeated runs agree.

    Attributes:
        intervals: the number of intervals.
        coverage: the share of intervals that hold the grand median of their cell, which is that over runs. Few runs
            make it optimistic, since each takes part in the median.
        pairs: the number of pairs of runs of one cell.
        beyond: the share of pairs with ``|z| > 1.96``, where ``z`` is their difference over its standard error, each
            interval taken for 1.96 standard errors to either side.
        disagreements: each cell with its number of such pairs, the most first; cells without one are left out.
    """

    intervals: int
    coverage: float
    pairs: int
    beyond: float
    disagreements: tuple[tuple[Hashable, int], ...]

    @property
    def sentence(self) -> str:
        """The result as text."""
        return (
            f"{100 * self.coverage:.0f} % of {self.intervals} intervals hold their cell's grand median, and "
            f"{100 * self.beyond:.0f} % of {self.pairs} pairs of runs differ by |z| > 1.96."
        )


def consistency(runs: Sequence[Mapping[Hashable, Measured]]) -> Consistency:
    """Return how well the intervals of ``runs`` agree; cells that only one run has are left out.

    Args:
        runs: the cells of each run; cells without an interval are not among them.

    Raises:
        BenchError: no cell is in two runs, a number is not finite, or an interval has no width or not its value.
    """
    by_cell: dict[Hashable, list[Measured]] = {}
    for number, run in enumerate(runs, 1):
        for cell, measured in run.items():
            if not (all(map(math.isfinite, measured)) and measured.low <= measured.value <= measured.high):
                raise BenchError(f"run {number}, cell {cell}: {measured}; legal: finite numbers, low <= value <= high")
            if measured.low == measured.high:
                raise BenchError(f"run {number}, cell {cell}: {measured} has no width; legal: low < high")
            by_cell.setdefault(cell, []).append(measured)
    repeated = {cell: measured for cell, measured in by_cell.items() if len(measured) > 1}
    if not repeated:
        raise BenchError(f"no cell is in two of {len(runs)} runs; legal: two or more runs of one suite")
    inside = [
        one.low <= float(np.median([other.value for other in measured])) <= one.high
        for measured in repeated.values()
        for one in measured
    ]
    beyond = {
        cell: [abs(_z(one, other)) > _NORMAL for one, other in combinations(measured, 2)]
        for cell, measured in repeated.items()
    }
    pairs = sum(len(own) for own in beyond.values())
    disagreements = sorted(((cell, sum(own)) for cell, own in beyond.items() if any(own)), key=lambda item: -item[1])
    total = sum(number for _, number in disagreements)
    return Consistency(len(inside), sum(inside) / len(inside), pairs, total / pairs, tuple(disagreements))


def _z(one: Measured, other: Measured) -> float:
    """Return the difference over its standard error."""
    half = math.hypot(one.high - one.low, other.high - other.low) / 2
    return (one.value - other.value) / (half / _NORMAL)
