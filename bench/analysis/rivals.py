"""BP's ways to save memory against SID's on one cell: two curves of bytes and time, and which is ahead at which bytes.

A family is ahead at a budget of bytes if its fastest method that fits takes less time than the fastest of the other
family that fits, by intervals that do not overlap. Where one family has no method that fits, the other is alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, NamedTuple

from bench.analysis.numbers import percent
from bench.analysis.statistics.estimate import Interval
from bench.config.methods import is_of_bp, is_of_sid, known_method

Family = Literal["bp", "sid"]
FAMILIES: tuple[Family, ...] = ("bp", "sid")
_MOST_DIGITS = 6

NAMES: dict[Family, str] = {"bp": "BP", "sid": "SID"}


@dataclass(frozen=True)
class Point:
    """A method of one of the two families.

    Attributes:
        name: of its series.
        family: that it belongs to.
        size: activation bytes over BP's.
        time: of a step over BP's.
        interval: of the time.
        is_repeated: it was timed in several processes; one says nothing of others.
    """

    name: str
    family: Family
    size: float
    time: float
    interval: Interval
    is_repeated: bool


class Stretch(NamedTuple):
    """Budgets at which the same family is ahead.

    Attributes:
        low: the least budget, activation bytes over BP's.
        high: where the next stretch begins; infinity of the last one.
        ahead: the family that is; None if the intervals do not decide.
        best: of each family that has one, its fastest method that fits ``low``.
    """

    low: float
    high: float
    ahead: Family | None
    best: dict[Family, Point]


def family_of(method: str) -> Family | None:
    """Return the family of a method, or of the method that it is short for; None for rules of neither."""
    row = known_method(method)
    name = method if row is None or row.alias_of is None else row.alias_of
    return "sid" if is_of_sid(name) else "bp" if is_of_bp(name) else None


def curve(points: Sequence[Point], family: Family) -> list[Point]:
    """Return the methods of a family that no other one of it beats in both by the estimates, fewest bytes first."""
    found: list[Point] = []
    for point in sorted((one for one in points if one.family == family), key=lambda one: (one.size, one.time)):
        if not found or point.time < found[-1].time:
            found.append(point)
    return found


def stretches(points: Sequence[Point]) -> list[Stretch]:
    """Return who is ahead at which budget, from the fewest bytes on; empty without points."""
    curves = {family: curve(points, family) for family in FAMILIES}
    budgets = sorted({point.size for own in curves.values() for point in own})
    states = []
    for low, high in pairwise([*budgets, math.inf]):
        fitting = {family: [one for one in own if one.size <= low] for family, own in curves.items()}
        best = {family: own[-1] for family, own in fitting.items() if own}  # a curve falls, so the last is the fastest
        states.append(Stretch(low, high, _ahead(best), best))
    found = []
    for _, same in groupby(states, key=lambda state: (state.ahead, len(state.best))):
        first, *rest = same
        found.append(first._replace(high=rest[-1].high if rest else first.high))
    return found


def clauses(points: Sequence[Point]) -> list[str]:
    """Return who is ahead where as clauses without a full stop, from the fewest bytes on."""
    return [_clause(stretch) for stretch in stretches(points)]


def _ahead(best: dict[Family, Point]) -> Family | None:
    if len(best) == 1:
        return next(iter(best))
    bp, sid = best["bp"], best["sid"]
    if not (bp.is_repeated and sid.is_repeated):
        return None
    return "sid" if sid.interval.high < bp.interval.low else "bp" if bp.interval.high < sid.interval.low else None


def _clause(stretch: Stretch) -> str:
    low, high = _budgets(stretch)
    where = f"from {low} of BP's bytes {high}"
    if len(stretch.best) == 1:
        ((family, point),) = stretch.best.items()
        return f"{where} only {NAMES[family]} fits (time {point.time:.2f})"
    times = {family: f"{point.time:.2f}" for family, point in stretch.best.items()}
    if stretch.ahead is None:
        few = "" if all(point.is_repeated for point in stretch.best.values()) else "; 1 process"
        return f"{where} it is undecided (SID {times['sid']}, BP {times['bp']}{few})"
    other: Family = "bp" if stretch.ahead == "sid" else "sid"
    return f"{where} {NAMES[stretch.ahead]} is faster ({times[stretch.ahead]} against {times[other]})"


def _budgets(stretch: Stretch) -> tuple[str, str]:
    """Return both ends of a stretch as text, with as many digits as tell them apart."""
    low, high = percent(stretch.low), percent(stretch.high) if math.isfinite(stretch.high) else ""
    digits = 1
    while low == high and digits < _MOST_DIGITS:
        digits += 1
        low, high = (f"{100 * end:.{digits}f} %" for end in (stretch.low, stretch.high))
    return low, f"to {high}" if high else "on"
