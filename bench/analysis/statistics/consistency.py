"""Whether intervals keep their promise: the same suite, measured again and again, on one machine."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bench.analysis.statistics.estimate import Estimate, independent_difference
from bench.analysis.student import upper_quantile
from bench.errors import BenchError

_LEVEL = 0.05
_NORMAL = 1.959964  # half the width of a 95 % interval in standard errors, where these are known


class Measured(NamedTuple):
    """A value with the ends of its 95 % interval; for ratios, on the log scale.

    Attributes:
        value: the value.
        low: the lower end.
        high: the upper end.
        degrees: the degrees of freedom of its standard error: of 5 processes, 4. Infinite where none are known.
    """

    value: float
    low: float
    high: float
    degrees: float = math.inf

    @property
    def error(self) -> float:
        """The standard error: half the width over Student's t quantile."""
        return (self.high - self.low) / 2 / upper_quantile(_LEVEL / 2, self.degrees)


@dataclass(frozen=True)
class Consistency:
    """How well the intervals of repeated runs agree.

    With few processes, the three shares of pairs differ. Of honest intervals over 5 processes, ``beyond`` is 4 to 5 %.
    ``beyond_by_error`` is 8 to 9 %, because 1.96 is not the limit for standard errors of 4 degrees of freedom, and
    ``beyond_by_width`` is 2 to 3 %, because an interval of Student's t is 1.4 times as wide as 1.96 standard errors to
    either side. Only ``beyond`` can be compared with 5 % whatever the number of processes. With infinite degrees of
    freedom the three are equal.

    Attributes:
        intervals: the number of intervals.
        coverage: the share of intervals that hold the grand median of their cell, which is that over runs. Few runs
            make it optimistic, since each takes part in the median: with two, honest intervals give 98 %.
        pairs: the number of pairs of runs of one cell.
        beyond: the share of pairs that differ by Welch's t test at a level of 5 %: ``|z| > 1.96`` where ``z`` is the
            normal quantile of its p-value.
        beyond_by_error: the share of pairs with ``|z| > 1.96`` where ``z`` is their difference over its standard error.
        beyond_by_width: the same with each interval taken for 1.96 standard errors to either side.
        disagreements: each cell with its number of pairs that differ by Welch's test, the most first; cells without one
            are left out.
    """

    intervals: int
    coverage: float
    pairs: int
    beyond: float
    beyond_by_error: float
    beyond_by_width: float
    disagreements: tuple[tuple[Hashable, int], ...]

    @property
    def sentence(self) -> str:
        """The result as text."""
        return (
            f"{100 * self.coverage:.0f} % of {self.intervals} intervals hold their cell's grand median, and "
            f"{100 * self.beyond:.0f} % of {self.pairs} pairs of runs differ by |z| > 1.96 (Welch's t test)."
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
            if not (all(map(math.isfinite, measured[:3])) and measured.low <= measured.value <= measured.high):
                raise BenchError(f"run {number}, cell {cell}: {measured}; legal: finite numbers, low <= value <= high")
            if not measured.degrees > 0:
                raise BenchError(f"run {number}, cell {cell}: {measured}; legal: degrees above 0")
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
    pairs = {cell: [_Pair.of(*pair) for pair in combinations(measured, 2)] for cell, measured in repeated.items()}
    every = [pair for own in pairs.values() for pair in own]
    beyond = [(cell, sum(pair.p_value < _LEVEL for pair in own)) for cell, own in pairs.items()]
    return Consistency(
        intervals=len(inside),
        coverage=sum(inside) / len(inside),
        pairs=len(every),
        beyond=sum(number for _, number in beyond) / len(every),
        beyond_by_error=sum(pair.over_error > _NORMAL for pair in every) / len(every),
        beyond_by_width=sum(pair.over_width > _NORMAL for pair in every) / len(every),
        disagreements=tuple(sorted(((cell, number) for cell, number in beyond if number), key=lambda item: -item[1])),
    )


class _Pair(NamedTuple):
    """Two runs of one cell: the p-value of Welch's t test, and their absolute difference in standard errors.

    ``over_width`` takes half the width of an interval for 1.96 of them.
    """

    p_value: float
    over_error: float
    over_width: float

    @classmethod
    def of(cls, one: Measured, other: Measured) -> "_Pair":
        estimates = [Estimate(measured.value, measured.error, measured.degrees) for measured in (one, other)]
        difference = independent_difference(*estimates)
        distance = abs(difference.value)
        p_value = difference.p_value(distance)
        assert difference.error is not None  # noqa: S101 (both estimates have one)
        assert p_value is not None  # noqa: S101
        half = math.hypot(one.high - one.low, other.high - other.low) / 2
        return cls(p_value, distance / difference.error, distance / (half / _NORMAL))
