"""How a figure is drawn: its look, lines in panels, SVG, the data as a table and the same in words."""

import io
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.analysis.frame import method_place, ordered_series
from bench.config.methods import known_method

mpl.use("Agg")

_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "sid-bench", "font.size": 10, "axes.titlesize": 10}
_OTHER_COLOURS = ("#8c564b", "#b8a800", "#7b4fa3")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")
_LEAST_SPAN = 5  # of a logarithmic axis, from end to end: at least two of its ticks have a label then
PANEL_INCHES = (4.2, 3.3)

Look = tuple[list[str], dict[str, Any], dict[str, str]]


@dataclass(frozen=True)
class Figure:
    """A drawn figure: ``svg`` is its markup, ``data`` what it shows, ``alternative`` the same in a sentence or two."""

    name: str
    title: str
    caption: str
    svg: str
    data: pd.DataFrame
    alternative: str


@contextmanager
def drawing() -> Iterator[None]:
    """The look that all figures share."""
    with mpl.rc_context(_STYLE), sns.axes_style("whitegrid", {"grid.color": "#e4e4e4"}):
        yield


AXES = {"depth": "depth, hidden layers", "batch_size": "batch size, samples", "modules": "modules"}


def draw_lines(
    rows: pd.DataFrame,
    x: str,
    label: str,
    columns: dict[str, str],
    show: Callable[[float], str],
    *,
    name: str,
    title: str,
    caption: str,
) -> Figure:
    """A figure in the report's look: ``y`` against ``x`` on logarithmic axes, a line a series, a panel a ``panel``.

    Args:
        rows: with the columns ``x``, ``y``, ``series``, ``method`` and ``panel``.
        x: the column of the horizontal axis.
        label: of the vertical axis, and in the text alternative.
        columns: of ``rows``, for the figure's data, and what to call them there.
        show: puts a value of ``y`` into words.
        name: a name for files.
        title: what is shown.
        caption: what a reader has to know.
    """
    with drawing():
        svg = figure_svg(lines_in_panels(rows, x, label, log_y=True).figure)
    return Figure(name, title, caption, svg, data_table(rows, columns), in_words(rows, x, label, show))


def look(rows: pd.DataFrame) -> Look:
    """The series in order, and each one's colour and marker: a method keeps its own on every figure."""
    order = ordered_series(rows)
    methods = dict(zip(rows["series"], rows["method"], strict=True))
    palette, markers, seen = {}, {}, dict[str, int]()
    for series in order:
        method = methods[series]
        row = known_method(method)
        number = sum(map(ord, method))
        place = number if method_place(method) == float("inf") else int(method_place(method))
        repeat = seen.get(method, 0)
        seen[method] = repeat + 1
        colour = (row.colour if row is not None else None) or _OTHER_COLOURS[number % len(_OTHER_COLOURS)]
        palette[series] = sns.light_palette(colour, 4)[-1 - repeat % 3]
        markers[series] = _MARKERS[(place + 4 * repeat) % len(_MARKERS)]
    return order, palette, markers


def lines_in_panels(
    rows: pd.DataFrame,
    x: str,
    y_label: str,
    log_y: bool,
    log_x: bool = True,
    errorbar: tuple[str, int] | None = None,
    dashed: Collection[str] = (),
) -> sns.FacetGrid:
    """Lines with markers, a panel a value of ``panel``; draws ``low`` to ``high`` as bars where the rows have them.

    The series in ``dashed`` have dashed lines.
    """
    order, palette, markers = look(rows)
    grid = in_panels(
        rows,
        x,
        sorted(rows["panel"].unique()),
        (order, palette, markers),
        dashes={name: (3, 2) if name in dashed else (1, 0) for name in order} if dashed else False,
        kind="line",
        errorbar=errorbar,
        err_style="bars",
        err_kws={"capsize": 2, "linewidth": 0.8},
    )
    for panel, axes in grid.axes_dict.items():
        shown = rows[rows["panel"] == panel]
        if "low" in rows:
            for series in order:
                line = shown[shown["series"] == series]
                bars = [line["y"] - line["low"], line["high"] - line["y"]]
                axes.errorbar(
                    line[x], line["y"], [bar.clip(lower=0) for bar in bars], fmt="none", ecolor=palette[series],
                    elinewidth=0.9, capsize=2,
                )  # fmt: skip
            axes.axhline(1, color="#888888", linewidth=0.8)
        if "verdict" in rows:
            hollow_noisy(axes, shown, x, palette, markers)
        if log_x:
            axes.set_xscale("log", base=2)
        ticks = sorted(shown[x].unique())
        if len(ticks) <= 16:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        if log_y:
            widen_to_ticks(axes)
    grid.set_titles("{col_name}")
    grid.set_axis_labels(AXES.get(x, x.replace("_", " ")), y_label)
    finish(grid)
    return grid


def in_panels(rows: pd.DataFrame, x: str, panels: list[str], look: Look, **options: Any) -> sns.FacetGrid:
    """``y`` against ``x``, a panel for each of ``panels``, the series as :func:`look` has it; the rest is seaborn's."""
    order, palette, markers = look
    return sns.relplot(
        data=rows,
        x=x,
        y="y",
        hue="series",
        style="series",
        hue_order=order,
        style_order=order,
        palette=palette,
        markers=markers,
        col="panel",
        col_order=panels,
        col_wrap=min(3, len(panels)),
        height=PANEL_INCHES[1],
        aspect=PANEL_INCHES[0] / PANEL_INCHES[1],
        facet_kws={"sharey": False, "sharex": False, "legend_out": False},
        **options,
    )


def widen_to_ticks(axes: Any) -> None:
    """Makes the vertical axis logarithmic, and so long that at least two of its ticks have a label."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if _leads(value) else ""))
    low, high = axes.get_ylim()
    spare = max(1.0, _LEAST_SPAN * low / high) ** 0.5
    axes.set_ylim(low / spare, high * spare)


def hollow_noisy(axes: Any, rows: pd.DataFrame, x: str, palette: dict[str, Any], markers: dict[str, str]) -> None:
    """Empties the markers of noisy rows."""
    noisy = rows[rows["verdict"] == "noisy"]
    for series in noisy["series"].unique():
        points = noisy[noisy["series"] == series]
        look = {"marker": markers[series], "markeredgecolor": palette[series], "markerfacecolor": "white"}
        axes.plot(points[x], points["y"], linestyle="none", markersize=6, zorder=3, **look)


def _leads(value: float) -> bool:
    """Whether the first digit of a tick is 2 or 5, the ones worth a label between powers of ten."""
    return f"{value:e}"[0] in "25"


def finish(grid: sns.FacetGrid) -> None:
    """Puts the legend above the panels."""
    legend = grid.legend
    if legend is not None:
        legend.set_title("")
        columns = min(4, len(legend.get_texts()))
        sns.move_legend(grid, "lower left", bbox_to_anchor=(0.04, 1.0), ncol=columns, frameon=False)


def figure_svg(figure: MatplotlibFigure) -> str:
    """The ``<svg>`` element of ``figure``, which is closed."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def with_own_ids(svg: str, prefix: str) -> str:
    """``svg`` with every identifier prefixed, so that several figures can stand in one page."""
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the text alternative stands on the element around it
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def data_table(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """The figure's numbers as a table."""
    table = rows[["panel", "series", *columns]].copy()
    table["panel"] = table["panel"].str.replace("\n", ", ")
    table = table.rename(columns={"panel": "where", "series": "method", **columns})
    for column in table.select_dtypes("float").columns:
        shown = "{:,.0f}" if column.endswith("bytes") else "{:.4g}"  # bytes are exact
        table[column] = table[column].map(shown.format)
    return table.reset_index(drop=True)


def in_words(rows: pd.DataFrame, x: str, what: str, show: Callable[[float], str]) -> str:
    """Where each line begins and ends, in words."""
    sentences = []
    for panel in sorted(rows["panel"].unique()):
        shown = rows[rows["panel"] == panel]
        ends = []
        for series in ordered_series(shown):
            means = shown[shown["series"] == series].groupby(x)["y"].mean()
            ends.append(f"{series} from {show(means.iloc[0])} to {show(means.iloc[-1])}")
        low, high = shown[x].min(), shown[x].max()
        place, axis = panel.replace("\n", ", "), x.replace("_", " ")
        sentences.append(f"{place}: {what} from {axis} {low:g} to {high:g}: {', '.join(ends)}.")
    return " ".join(sentences)
