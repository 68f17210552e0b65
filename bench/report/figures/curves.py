"""Lines of several series in one drawing, each labelled at its end, and the view of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import MaxNLocator

from bench.analysis.words import counted
from bench.report.figures.axes import use_log, use_values
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.dots import draw_dots
from bench.report.figures.figure import View
from bench.report.figures.labels import Label, label_ends
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.points import draw_line, draw_mark
from bench.report.figures.style import Look

_HEIGHTS = {"wide": 4.2, "narrow": 3.8}
_DOT = 4.5  # points
_LEAST_SPAN = 1.0  # of a linear vertical axis
_NAN = float("nan")

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Curves:
    """What is drawn.

    Attributes:
        points: rows of :func:`bench.analysis.accuracies.over_seeds`, numbered from 0.
        x: the column of the horizontal axis.
        x_label: its label, and the heading of its numbers.
        y_label: the same of the vertical axis.
        unit: follows a value in a label, such as `` %``.
        digits: of a value, after the point, or significant ones on a logarithmic axis.
        x_scale: of the horizontal axis.
        y_scale: of the vertical axis.
        dashed: lines without marks, by series: x and y of their points.
    """

    points: pd.DataFrame
    x: str
    x_label: str
    y_label: str
    unit: str = " %"
    digits: int = 1
    x_scale: Scale = "linear"
    y_scale: Scale = "linear"
    dashed: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(default_factory=dict)

    def text(self, value: float) -> str:
        """Return a value of ``y`` as text, without its unit."""
        return f"{value:.{self.digits}{'f' if self.y_scale == 'linear' else 'g'}}"


def curves_view(name: str, choice: str, finding: str, curves: Curves, look: Look, **columns: str) -> View:
    """Return the view that shows ``curves``.

    Args:
        name: of the view.
        choice: its entry in the chooser.
        finding: what it shows.
        curves: what is drawn.
        look: of the series of the report.
        columns: further columns of the data, with one value each.
    """
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, curves, look))
    points = curves.points
    data = pd.DataFrame(
        {
            "method": points["series"],
            curves.x_label: [f"{value:g}" for value in points[curves.x]],
            curves.y_label: [curves.text(value) for value in points["y"]],
            "lowest seed": [curves.text(value) for value in points["low"]],
            "highest seed": [curves.text(value) for value in points["high"]],
            "over": [counted(count, "seed") for count in points["seeds"]],
        }
        | columns
    )
    return View(name, choice, finding, wide, narrow, data, tuple(points["id"]))


def _draw(canvas: Canvas, curves: Curves, look: Look) -> MatplotlibFigure:
    figure = canvas.figure(_HEIGHTS[canvas.kind])
    axes = figure.subplots()
    labels = []
    for series in look.order:
        own = curves.points[curves.points["series"] == series].sort_values(curves.x)
        if own.empty:
            continue
        draw_line(axes, series, list(own[curves.x]), list(own["y"]), look)
        _draw_ranges(axes, own, curves.x, look.colours[series], series)
        if series in curves.dashed:
            (line,) = axes.plot(
                *curves.dashed[series], color=look.colours[series], linewidth=1.1, linestyle=(0, (4, 3))
            )
            line.set_gid(series_gid(series))
            at, height = (values[-1] for values in curves.dashed[series])
            labels.append(Label(series, f"theory {curves.text(height)}", (at, height), look.text_colours[series]))
        rows = list(zip(own.index, own[curves.x].astype(float), own["y"], strict=True))
        for row, x, y in rows[:-1]:
            draw_dots(axes, [x], [y], look.colours[series], _DOT, mark_gid(row, series))
        row, x, y = rows[-1]
        draw_mark(axes, row, series, x, y, look)
        colour = look.text_colours[series]
        value = f" {curves.text(y)}{curves.unit}" if canvas.kind == "wide" else ""  # a narrow one has no room for it
        labels.append(Label(series, f"{series}{value}", (x, y), colour))
    _scale(axes, curves)
    axes.set_xlabel(curves.x_label)
    axes.set_ylabel(curves.y_label)
    label_ends(axes, labels)
    return figure


def _draw_ranges(axes: Axes, own: pd.DataFrame, x: str, colour: str, series: str) -> None:
    """Draw a bar from the lowest to the highest seed at each point, all as one path."""
    bars = own[own["high"] > own["low"]]
    across = [value for at in bars[x] for value in (at, at, _NAN)]
    up = [value for low, high in zip(bars["low"], bars["high"], strict=True) for value in (low, high, _NAN)]
    if across:
        axes.plot(across, up, color=colour, linewidth=0.8, alpha=0.6, zorder=2, gid=series_gid(series))


def _scale(axes: Axes, curves: Curves) -> None:
    points = curves.points
    use_values(axes.xaxis, [float(value) for value in points[curves.x]], log=curves.x_scale == "log")
    low = min(points["low"].min(), *(min(ys) for _, ys in curves.dashed.values()), points["low"].max())
    high = max(points["high"].max(), *(max(ys) for _, ys in curves.dashed.values()), points["high"].min())
    if curves.y_scale == "log":
        use_log(axes.yaxis, low, high)
    else:
        spare = max(_LEAST_SPAN - (high - low), 0) / 2 + 0.05 * (high - low)
        axes.set_ylim(low - spare, high + spare)
        axes.yaxis.set_major_locator(MaxNLocator(6))
