"""Marks of rows, intervals and lines of series, in the look of a report."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.style import Look

_SIZE = 7.5  # of a mark, points
_ABOVE = 4  # order of drawing: marks are above lines, lines above the grid


def draw_mark(axes: Axes, row: int, series: str, x: float, y: float, look: Look, *, is_open: bool = False) -> None:
    """Draw the mark of a row of the view's data.

    Args:
        axes: where to draw.
        row: place of the row in the data, from 0.
        series: of the row.
        x: horizontal position, data coordinates.
        y: vertical position, data coordinates.
        look: of the series.
        is_open: whether the mark is an outline, which says that its number cannot be relied on.
    """
    colour = look.colours[series]
    style: dict[str, Any] = {"markerfacecolor": "#ffffff", "markeredgecolor": colour, "markeredgewidth": 1.4}
    if not is_open:
        style = {"markerfacecolor": colour, "markeredgecolor": "#ffffff", "markeredgewidth": 0.6}
    (drawn,) = axes.plot(
        [x], [y], linestyle="none", marker=look.markers[series], markersize=_SIZE, zorder=_ABOVE, clip_on=False, **style
    )
    drawn.set_gid(mark_gid(row, series))


def draw_interval(axes: Axes, series: str, xs: Sequence[float], ys: Sequence[float], look: Look) -> None:
    """Draw an interval of a series from one point to another, given as both ``xs`` and both ``ys``."""
    _line(axes, series, xs, ys, look, 1.3)


def draw_line(axes: Axes, series: str, xs: Sequence[float], ys: Sequence[float], look: Look) -> None:
    """Draw the line of a series through points."""
    _line(axes, series, xs, ys, look, 1.6)


def _line(axes: Axes, series: str, xs: Sequence[float], ys: Sequence[float], look: Look, width: float) -> None:
    (drawn,) = axes.plot(xs, ys, color=look.colours[series], linewidth=width, zorder=_ABOVE - 1, solid_capstyle="butt")
    drawn.set_gid(series_gid(series))
