"""Numbers as text, with the digits that a reader needs."""

import math

from bench.analysis.digits import MOST_DIGITS, digits_apart
from bench.analysis.statistics.estimate import Estimate, Interval

_MIB = 2**20


def mebibytes(value: float) -> str:
    """Return bytes as MiB with three significant digits."""
    size = value / _MIB
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if size >= least), 3)
    return f"{size:.{digits}f}"


def percent(ratio: float) -> str:
    """Return a ratio in per cent: ``3.1 %``, with as many digits as tell it from 0 and from 100 %."""
    value = 100 * ratio
    least = 0 if value >= 100 else 1
    digits = next(
        (
            digits
            for digits in range(least, MOST_DIGITS)
            if _keeps_its_side(value, 100, digits) and round(value, digits)
        ),
        MOST_DIGITS,
    )
    return f"{value:.{digits}f} %"


def times(ratio: float, interval: Interval | None = None) -> str:
    """Return a ratio with its interval, ``0.86 [0.84, 0.88]``; its digits tell the ends from 1 and from each other.

    There are two decimals at least, and fewer from 10 on: ``12.3``, ``140``.
    """
    if interval is None:
        return f"{ratio:.{_digits_of(ratio)}f}"
    digits = max(_digits_of(interval.low), _digits_of(interval.high))
    while digits < MOST_DIGITS and round(interval.low, digits) == round(interval.high, digits):
        digits += 1
    return f"{ratio:.{digits}f} [{interval.low:.{digits}f}, {interval.high:.{digits}f}]"


def points(estimate: Estimate, interval: Interval | None) -> str:
    """Return a difference in points and its interval, with as many digits as tell the ends apart."""
    value, digits = 100 * estimate.value, digits_of_points(interval)
    if interval is None:
        return f"{value:+z.{digits}f}, no interval"
    low, high = (100 * end for end in interval)
    return f"{value:+z.{digits}f} [{low:+z.{digits}f}, {high:+z.{digits}f}]"


def digits_of_points(interval: Interval | None) -> int:
    """Return the digits of a difference in points that tell the ends of its interval apart, and from 0."""
    if interval is None:
        return 1
    return digits_apart(*(100 * end for end in interval))


def exponential(interval: Interval) -> Interval:
    """Return an interval of log-ratios as one of ratios."""
    return Interval(math.exp(interval.low), math.exp(interval.high))


def _digits_of(ratio: float) -> int:
    least = next((digits for digits, end in ((2, 9.995), (1, 99.95)) if ratio < end), 0)
    return next((digits for digits in range(least, MOST_DIGITS) if _keeps_its_side(ratio, 1, digits)), MOST_DIGITS)


def _keeps_its_side(value: float, of: float, digits: int) -> bool:
    """Return whether ``value`` rounded to ``digits`` is below, at or above ``of`` as ``value`` is."""
    rounded = round(value, digits)
    return (rounded > of) == (value > of) and (rounded < of) == (value < of)
