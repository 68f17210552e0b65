"""Dots: marks that take little room in an SVG, where a figure has many."""

from collections.abc import Sequence

from matplotlib.axes import Axes

_NAN = float("nan")


def draw_dots(
    axes: Axes, xs: Sequence[float], ys: Sequence[float], colour: str, diameter: float, gid: str, alpha: float = 1.0
) -> None:
    """Draw a dot at each point, all in one path: lines of no length with round ends.

    Args:
        axes: where to draw.
        xs: horizontal positions, data coordinates.
        ys: vertical positions, as many.
        colour: ``#rrggbb``.
        diameter: points.
        gid: identifier of the path; see :mod:`bench.report.figures.marks`.
        alpha: opacity.
    """
    across = [value for x in xs for value in (x, x, _NAN)]
    up = [value for y in ys for value in (y, y, _NAN)]
    axes.plot(
        across,
        up,
        color=colour,
        linewidth=diameter,
        solid_capstyle="round",
        alpha=alpha,
        gid=gid,
        clip_on=False,
        zorder=3,
    )
