"""Logarithmic axes with plain labels, and the axis of values that were measured."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axis import Axis
from matplotlib.ticker import NullLocator

_LEAST_RATIO = 1.5  # of the ends of a logarithmic axis
_MOST_TICKS = 7
# Digits of the ticks of a decade, densest first.
_DIGITS = (
    (1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2, 2.2, 2.4, 2.6, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9),
    (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)


def log_ticks(low: float, high: float, most: int = _MOST_TICKS) -> list[float]:
    """Return round values from ``low`` to ``high``, at most ``most``; possibly fewer than two.

    Args:
        low: greater than 0.
        high: greater than ``low``.
        most: two or more.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    denser: list[float] = []
    for digits in _DIGITS:
        values = (float(f"{digit * 10.0**decade:.2g}") for decade in decades for digit in digits)
        ticks = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(ticks) <= most and (len(ticks) > 1 or not denser):
            return ticks
        if len(ticks) < 2:
            break
        denser = ticks
    return denser[:: -(-len(denser) // most)]


def use_log(
    axis: Axis,
    low: float,
    high: float,
    text: Callable[[float], str] = "{:g}".format,
    *,
    most: int = _MOST_TICKS,
    room: float = 0.06,
) -> None:
    """Make ``axis`` logarithmic from ``low`` to ``high``, with plain labels.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        low: the least value drawn, greater than 0.
        high: the greatest value drawn, ``low`` or more.
        text: the label of a tick.
        most: the most ticks.
        room: at both ends, as a share of the length from ``low`` to ``high``.
    """
    spare = max(1.0, _LEAST_RATIO * low / high) ** 0.5
    beyond = spare * (high / low * spare**2) ** room
    limits = (low / beyond, high * beyond)
    _set(axis, "log", limits)
    ticks = log_ticks(*limits, most)
    axis.set_ticks(ticks, labels=[text(tick) for tick in ticks])
    axis.set_minor_locator(NullLocator())


def use_values(axis: Axis, values: Sequence[float], *, log: bool, most: int = _MOST_TICKS) -> None:
    """Give ``axis`` a tick at each of ``values``; at some of them if they are many or near one another.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        values: that were measured, at least one; greater than 0 if ``log``.
        log: whether the axis is logarithmic.
        most: the most ticks.
    """
    values = sorted(set(values))
    low, high = values[0], values[-1]
    if log:
        use_log(axis, low, high, most=most)
    else:
        room = 0.06 * (high - low or abs(high) or 1)
        _set(axis, "linear", (low - room, high + room))
    scale: Callable[[float], float] = math.log if log else float
    span = scale(high) - scale(low)
    ticks: list[float] = []
    for value in values:
        if not ticks or scale(value) - scale(ticks[-1]) >= span / most:
            ticks.append(value)
    axis.set_ticks(ticks, labels=[f"{value:g}" for value in ticks])
    axis.set_minor_locator(NullLocator())


def _set(axis: Axis, scale: str, limits: tuple[float, float]) -> None:
    axes = axis.axes
    if axis is axes.xaxis:
        axes.set_xscale(scale)
        axes.set_xlim(*limits)
    else:
        axes.set_yscale(scale)
        axes.set_ylim(*limits)
