"""Small bars and whiskers beside numbers, on one scale for all tables of a page, with BP in the middle."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A value on a scale, in per cent of its width.

    Attributes:
        at: the value.
        low: where the bar begins: the lower end of an interval, or the middle.
        high: where it ends.
        kind: ``bar`` from the middle to the value; ``whisker`` over an interval with a dot at the value.
    """

    at: float
    low: float
    high: float
    kind: str


@dataclass(frozen=True)
class Scale:
    """A scale that is symmetrical about BP.

    Attributes:
        span: the distance of either end from the middle: of ratios, the logarithm of the largest; else in points.
        low: the label of the lower end.
        high: that of the upper end.
        place: brings a value to the unit of ``span``.
    """

    span: float
    low: str
    high: str
    place: Callable[[float], float]

    def bar(self, value: float, interval: tuple[float, float] | None = None) -> Bar:
        """Return the bar of a value, or its whisker; what lies beyond an end is drawn at the end."""
        at = self._percent(value)
        if interval is None:
            return Bar(at, min(at, 50.0), max(at, 50.0), "bar")
        low, high = map(self._percent, interval)
        return Bar(at, low, high, "whisker")

    def _percent(self, value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, self.place(value) / self.span)), 2)


def ratio_scale(values: Iterable[float], steps: Iterable[float]) -> Scale:
    """Return a logarithmic scale for ratios to BP that reaches the first of ``steps`` that is enough, or the last."""
    largest = max((abs(math.log(value)) for value in values if 0 < value < math.inf), default=0.0)
    end = _first_enough(largest, [(math.log(step), step) for step in steps])
    return Scale(math.log(end), f"\N{DIVISION SIGN}{end:g}", f"\N{MULTIPLICATION SIGN}{end:g}", _log)


def points_scale(values: Iterable[float], steps: Iterable[float]) -> Scale:
    """Return a linear scale for differences in percentage points, likewise."""
    end = _first_enough(max(map(abs, values), default=0.0), [(step, step) for step in steps])
    return Scale(end, f"\N{MINUS SIGN}{end:g}", f"+{end:g}", float)


def _first_enough(wanted: float, steps: list[tuple[float, float]]) -> float:
    return next((step for reach, step in steps if reach >= wanted), steps[-1][1])


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf
