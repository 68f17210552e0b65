"""Figures with one panel per value of ``panel``: lines or points of several series."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.figures.style import GREY, PANEL_INCHES, Look, look_of

Linestyle = Literal["-", "--", "none"]

_COLUMNS = 3
_LEGEND_COLUMNS = 4
_LEGEND_LINE_INCHES = 0.22
_MARKER: dict[str, Any] = {"markersize": 7, "markeredgewidth": 0.75, "markeredgecolor": "white"}
_MOST_TICKS = 16
_LEAST_SPAN = 5  # ratio of the ends of a logarithmic axis; at least two of its ticks then have a label
_AXIS_LABELS = {"depth": "depth, hidden layers", "batch_size": "batch size, samples"}


def lines_in_panels(
    rows: pd.DataFrame,
    x: str,
    y_label: str,
    *,
    log_x: bool = True,
    log_y: bool = False,
    reference: float | None = None,
    dashed: Collection[str] = (),
) -> MatplotlibFigure:
    """Draw ``y`` against ``x`` as lines with markers, one line per series and one panel per value of ``panel``.

    Args:
        rows: with the columns ``y``, ``series``, ``method``, ``panel`` and the one that ``x`` names. Columns ``low``
            and ``high`` give error bars; NaN gives none. Where a column ``verdict`` is ``noisy``, markers are open.
        x: the column of the horizontal axis.
        y_label: label of the vertical axis.
        log_x: whether the horizontal axis is logarithmic, with base 2.
        log_y: whether the vertical axis is logarithmic.
        reference: value of ``y`` at which a horizontal line is drawn.
        dashed: the series with dashed lines.
    """
    look = look_of(rows)
    panels = sorted(rows["panel"].unique())
    linestyles: dict[str, Linestyle] = {series: "--" if series in dashed else "-" for series in look.order}
    figure, axes_by_panel = make_panels(panels, look, linestyles)
    for panel, axes in axes_by_panel.items():
        shown = rows[rows["panel"] == panel]
        for series in look.order:
            draw_series(axes, shown[shown["series"] == series], x, look, linestyles[series])
        if reference is not None:
            axes.axhline(reference, color=GREY, linewidth=0.8)
        _set_ticks(axes, sorted(shown[x].unique()), log_x)
        if log_y:
            use_logarithmic_y(axes)
        axes.set_xlabel(_AXIS_LABELS.get(x, x.replace("_", " ")))
        axes.set_ylabel(y_label)
    return figure


def make_panels(
    panels: Sequence[str], look: Look, linestyles: Mapping[str, Linestyle]
) -> tuple[MatplotlibFigure, dict[str, Axes]]:
    """Return an empty figure with titled panels and a legend of all series, and the axes of each panel.

    Args:
        panels: titles of the panels.
        look: the series, with their colours and markers.
        linestyles: the linestyle of each series; ``none`` for points that no line joins.
    """
    columns = min(_COLUMNS, len(panels))
    lines = -(-len(panels) // columns)
    legend_lines = -(-len(look.order) // _LEGEND_COLUMNS)
    width = PANEL_INCHES[0] * columns
    height = PANEL_INCHES[1] * lines + _LEGEND_LINE_INCHES * legend_lines
    figure = MatplotlibFigure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for unused in axes.flat[len(panels) :]:
        unused.set_visible(False)
    axes_by_panel = dict(zip(panels, axes.flat, strict=False))
    for panel, own in axes_by_panel.items():
        own.set_title(panel)
    handles = [
        Line2D([], [], color=look.colours[name], marker=look.markers[name], linestyle=linestyles[name], **_MARKER)
        for name in look.order
    ]
    figure.legend(handles, look.order, loc="outside upper left", ncol=min(_LEGEND_COLUMNS, len(handles)), frameon=False)
    return figure, axes_by_panel


def draw_series(axes: Axes, rows: pd.DataFrame, x: str, look: Look, linestyle: Linestyle) -> None:
    """Draw the points of one series, joined by a line through the mean at each ``x``; see :func:`lines_in_panels`."""
    if rows.empty:
        return
    series = rows["series"].iloc[0]
    colour, marker = look.colours[series], look.markers[series]
    means = rows.groupby(x)["y"].mean() if linestyle != "none" else rows.set_index(x)["y"]
    axes.plot(means.index, means, color=colour, marker=marker, linestyle=linestyle, zorder=3, **_MARKER)
    if "low" in rows and linestyle != "none":
        # A mean of equal numbers can differ from them by rounding, and lengths must not be negative.
        lengths = [(rows["y"] - rows["low"]).clip(lower=0), (rows["high"] - rows["y"]).clip(lower=0)]
        axes.errorbar(rows[x], rows["y"], lengths, fmt="none", ecolor=colour, elinewidth=0.9, capsize=2)
    if "verdict" in rows:
        noisy = rows[rows["verdict"] == "noisy"]
        open_marker = _MARKER | {"markeredgecolor": colour, "markerfacecolor": "white", "markeredgewidth": 1}
        axes.plot(noisy[x], noisy["y"], linestyle="none", marker=marker, zorder=4, **open_marker)


def _set_ticks(axes: Axes, values: Sequence[float], log_x: bool) -> None:
    if log_x:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if len(values) <= _MOST_TICKS:
        axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.xaxis.set_minor_locator(NullLocator())


def use_logarithmic_y(axes: Axes) -> None:
    """Make the vertical axis logarithmic, and long enough for two labelled ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else ""))
    low, high = axes.get_ylim()
    spare = max(1.0, _LEAST_SPAN * low / high) ** 0.5
    axes.set_ylim(low / spare, high * spare)
