"""An estimate: a value with its standard error, from which intervals and p-values follow by Student's t distribution.

Intervals and p-values agree: a two-sided test at level ``a`` rejects exactly the values outside of the interval with
confidence ``1 - a``.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.analysis.student import upper_quantile, upper_tail
from bench.analysis.words import numbered
from bench.errors import BenchError


class Interval(NamedTuple):
    """The ends of a confidence interval, ``low <= high``."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A log-ratio or a difference of a first method from a second one.

    Attributes:
        value: the estimate.
        error: its standard error, above 0; None if a single process or seed gives it, which tells nothing of others.
        degrees: the degrees of freedom of ``error``; None with it.
        processes: the number of processes; two numbers for a ratio of ratios from two files.
        seeds: the number of seeds; None where no training is compared.
        images: the number of test images; None likewise.
        note: what a reader must know besides, such as seeds that were left out.
        limit: the largest absolute value that is possible.

    Raises:
        BenchError: ``value`` is not finite, or ``error`` or ``degrees`` is not above 0.
    """

    value: float
    error: float | None = None
    degrees: float | None = None
    processes: tuple[int, ...] = ()
    seeds: int | None = None
    images: int | None = None
    note: str | None = None
    limit: float = math.inf

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise BenchError(f"value = {self.value} of an estimate; legal: a finite number")
        if (self.error is None) != (self.degrees is None):
            raise BenchError(f"error = {self.error} with degrees = {self.degrees}; legal: both or neither")
        if self.error is not None and not 0 < self.error < math.inf:
            raise BenchError(f"error = {self.error} of an estimate; legal: a finite number above 0")
        if self.degrees is not None and not self.degrees > 0:
            raise BenchError(f"degrees = {self.degrees} of an estimate; legal: a number above 0")

    def interval(self, confidence: float = 0.95) -> Interval | None:
        """Return the two-sided interval; None if the estimate has no standard error."""
        if self.error is None or self.degrees is None:
            return None
        half = upper_quantile((1 - confidence) / 2, self.degrees) * self.error
        return Interval(max(self.value - half, -self.limit), min(self.value + half, self.limit))

    def p_value(self, distance: float) -> float | None:
        """Return the probability of an estimate at least ``distance`` above the truth, doubled for two sides.

        It is the p-value of a two-sided test that rejects on one side, so at most 1; None without a standard error.
        """
        if self.error is None or self.degrees is None:
            return None
        return min(1.0, 2 * upper_tail(distance / self.error, self.degrees))

    def mirrored(self) -> "Estimate":
        """Return the estimate of the second method compared with the first."""
        return replace(self, value=-self.value)

    @property
    def basis(self) -> str:
        """The numbers of processes, seeds and images as text: ``20 seeds, 360 images``."""
        parts = []
        if self.processes:
            plural = "" if self.processes == (1,) else "es"
            parts.append(f"{' and '.join(map(str, self.processes))} process{plural}")
        counts = ((self.seeds, "seed"), (self.images, "image"))
        return ", ".join([*parts, *(numbered(number, name) for number, name in counts if number is not None)])


def independent_difference(first: Estimate, second: Estimate) -> Estimate:
    """Return ``first`` minus ``second`` where no sample is common to both; of log-ratios, the ratio of ratios.

    Degrees of freedom are Welch's. Without a standard error of either there is none of the difference.
    """
    error = degrees = None
    if first.error and second.error and first.degrees and second.degrees:
        error = math.hypot(first.error, second.error)
        shares = ((first.error / error) ** 4 / first.degrees, (second.error / error) ** 4 / second.degrees)
        degrees = 1 / sum(shares) if sum(shares) else math.inf
    notes = [part.note for part in (first, second) if part.note]
    return Estimate(
        first.value - second.value, error, degrees, first.processes + second.processes, note="; ".join(notes) or None
    )
