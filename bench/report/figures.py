"""The figures of the report: seaborn to SVG, each with its data as a table and a text alternative."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.frame import METHOD_ORDER, ordered_series, slices
from bench.report.tables import mebibytes

mpl.use("Agg")

_STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "sid-bench", "font.size": 10, "axes.titlesize": 10}
# Okabe and Ito's palette, which the colour-blind can tell apart: greys for BP's kin, blues for streamed SID.
_COLOURS = {
    "bp": "#1c1c1c",
    "bp-checkpoint": "#8a8a8a",
    "bp-microbatch": "#c4b8a8",
    "bp-label-smoothing": "#e69f00",
    "deep-supervision": "#009e73",
    "sid-published": "#d55e00",
    "sid-streamed-autograd": "#56b4e9",
    "sid-streamed": "#0072b2",
    "sid-vectorised": "#cc79a7",
}
_OTHER_COLOURS = ("#8c564b", "#b8a800", "#7b4fa3")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")
_LEAST_SPAN = 5  # of a logarithmic axis, from end to end: at least two of its ticks have a label then
PANEL_INCHES = (4.2, 3.3)


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


def draw_figures(frame: pd.DataFrame) -> list[Figure]:
    """Every figure that ``frame`` has data for, in the order of the page."""
    if frame.empty:
        return []
    makers: list[Callable[[pd.DataFrame], Figure | None]] = [
        *(partial(_cost_against, cost, axis) for cost in _COSTS for axis in _AXES),
        _memory_against_latency,
        _accuracy_against_noise,
        _kl_by_module,
    ]
    with drawing():
        figures = [maker(frame) for maker in makers]
    return [figure for figure in figures if figure is not None]


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
        svg = figure_svg(_lines(rows, x, label, log_y=True).figure)
    return Figure(name, title, caption, svg, _data(rows, columns), _describe(rows, x, label, show))


_AXES = {"depth": "depth, hidden layers", "batch_size": "batch size, samples", "modules": "modules"}


@dataclass(frozen=True)
class _Cost:
    """What is drawn against depth, batch size and module count: ``prepare`` adds the column ``y``."""

    name: str
    title: str
    caption: str
    label: str
    log_y: bool
    measured: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    columns: dict[str, str]
    what: str
    show: Callable[[float], str]


def _in_mebibytes(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(y=rows["memory.peak_activation_bytes"] / 2**20)


def _with_interval(rows: pd.DataFrame) -> pd.DataFrame:
    intervals = pd.DataFrame(rows["latency.ratio_ci95"].tolist(), index=rows.index, columns=["low", "high"])
    return _with_verdict(rows).assign(y=rows["latency.ratio_to_bp"], low=intervals["low"], high=intervals["high"])


def _with_verdict(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(verdict=rows["latency.noisy_because"].notna().map({True: "noisy", False: ""}))


_COSTS = (
    _Cost(
        name="memory",
        title="Peak activation memory against",
        caption="Exact bytes in tensor storages at the worst moment of one training step; both axes are logarithmic.",
        label="peak activations, MiB",
        log_y=True,
        measured="has_memory",
        prepare=_in_mebibytes,
        columns={"memory.peak_activation_bytes": "peak activation bytes"},
        what="peak activations",
        show=lambda value: f"{mebibytes(value * 2**20)} MiB",
    ),
    _Cost(
        name="latency",
        title="Step latency over BP's against",
        caption="Median of interleaved ABBA blocks, bars: 95 % bootstrap intervals. BP against itself should read 1. "
        "Hollow points are noisy: not to be relied on.",
        label="step latency / BP's",
        log_y=False,
        measured="has_latency",
        prepare=_with_interval,
        columns={"y": "latency / BP", "low": "95 % from", "high": "95 % to", "verdict": "verdict"},
        what="latency over BP's",
        show=lambda value: f"{value:.2f}",
    ),
)


def _cost_against(cost: _Cost, axis: str, frame: pd.DataFrame) -> Figure | None:
    rows = slices(frame[frame[cost.measured]], axis)
    if rows.empty:
        return None
    rows = cost.prepare(rows)
    name = axis.replace("_", " ")
    return Figure(
        f"{cost.name}-against-{axis.replace('_', '-')}",
        f"{cost.title} {name.replace('modules', 'module count')}",
        cost.caption,
        figure_svg(_lines(rows, axis, cost.label, log_y=cost.log_y).figure),
        _data(rows, {axis: name} | cost.columns),
        _describe(rows, axis, cost.what, cost.show),
    )


def _memory_against_latency(frame: pd.DataFrame) -> Figure | None:
    rows = frame[frame["has_latency"] & frame["has_memory"]]
    rows = rows[rows["memory.activation_ratio"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    rows = _with_verdict(rows)
    rows = rows.assign(panel=rows["network"], x=rows["latency.ratio_to_bp"], y=rows["memory.activation_ratio"])
    order, palette, markers = _look(rows)
    grid = sns.relplot(
        data=rows,
        x="x",
        y="y",
        hue="series",
        style="series",
        hue_order=order,
        style_order=order,
        palette=palette,
        markers=markers,
        col="panel",
        facet_kws={"legend_out": False},
        kind="scatter",
        s=60,
        height=PANEL_INCHES[1],
        aspect=PANEL_INCHES[0] / PANEL_INCHES[1],
    )
    for name, panel in grid.axes_dict.items():
        _hollow_noisy(panel, rows[rows["panel"] == name], "x", palette, markers)
        panel.axhline(1, color="#888888", linewidth=0.8)
        panel.axvline(1, color="#888888", linewidth=0.8)
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_locator(NullLocator())
    grid.set_titles("{col_name}")
    grid.set_axis_labels("step latency / BP's", "peak activations / BP's")
    _finish(grid)
    columns = {"depth": "depth", "modules": "modules", "batch_size": "batch", "hidden": "hidden"}
    best = ", ".join(
        f"{series}: memory {part['y'].median():.2f}, latency {part['x'].median():.2f}"
        for series, part in ((series, rows[rows["series"] == series]) for series in order)
    )
    return Figure(
        "memory-against-latency",
        "Memory against latency, both over BP's",
        "One point a cell. Left of 1 is faster than BP, below 1 is leaner; the vertical axis is logarithmic. Hollow "
        "points have a noisy latency: not to be relied on.",
        figure_svg(grid.figure),
        _data(rows, columns | {"y": "activations / BP", "x": "latency / BP", "verdict": "verdict"}),
        f"Scatter of memory ratio over latency ratio. Medians over cells: {best}.",
    )


def _accuracy_against_noise(frame: pd.DataFrame) -> Figure | None:
    rows = _accuracy_rows(frame)
    if not rows.empty:
        rows = rows[rows.groupby("panel")["noise_rate"].transform("nunique") > 1]
    if rows.empty:
        return None
    rows = rows.assign(y=100 * rows["accuracy.test_last"])
    grid = _lines(rows, "noise_rate", "test accuracy, last epoch, %", log_y=False, log_x=False, errorbar=("pi", 100))
    columns = {"noise_kind": "noise", "noise_rate": "noise rate", "seed": "seed", "y": "test accuracy, %"}
    return Figure(
        "accuracy-against-noise",
        "Test accuracy against the rate of wrong training labels",
        "Last epoch, clean test labels; lines are means over seeds, bars reach from the worst seed to the best. "
        "Methods with the same gradients (bp and bp-checkpoint; sid-published and sid-streamed) cover each other.",
        figure_svg(grid.figure),
        _data(rows, columns),
        _describe(rows, "noise_rate", "mean accuracy", lambda value: f"{value:.1f} %"),
    )


def _kl_by_module(frame: pd.DataFrame) -> Figure | None:
    rows = _accuracy_rows(frame)
    rows = rows[rows["modules"] > 1] if len(rows) else rows
    if rows.empty:
        return None
    extremes = {rows["noise_rate"].min(), rows["noise_rate"].max()}
    rows = rows[rows["noise_rate"].isin(extremes)]
    rows = rows.explode("accuracy.kl_by_module")
    rows["module"] = rows.groupby(level=0).cumcount() + 1
    rows = rows.reset_index(drop=True)
    rows["y"] = pd.to_numeric(rows["accuracy.kl_by_module"])
    rows = rows.dropna(subset=["y"])  # a diverged run has no KL
    rows["panel"] += ["\nnoise " + f"{rate:g}" for rate in rows["noise_rate"]]
    if rows.empty:
        return None
    grid = _lines(rows, "module", "KL(label || belief), nats", log_y=True, log_x=False, errorbar=("pi", 100))
    columns = {"noise_rate": "noise rate", "seed": "seed", "module": "module", "y": "KL, nats"}
    return Figure(
        "kl-by-module",
        "Distance from the label, module by module",
        "KL(p_y || p_i) on the test set after the last epoch; SID's theory wants it to fall from module to module. BP "
        "trains only the last module's belief. Lines are means over seeds, bars reach from the worst to the best; the "
        "vertical axis is logarithmic.",
        figure_svg(grid.figure),
        _data(rows, columns),
        _describe(rows, "module", "mean KL", lambda value: f"{value:.2f} nats"),
    )


def _accuracy_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy rows with their panel; cells with more than one layer a module become lines of their own."""
    rows = frame[frame["has_accuracy"]]
    if rows.empty:
        return rows.assign(panel="")
    panel = rows["network"] + " on " + rows["dataset"] + "\n" + rows["optimizer"] + ", depth " + rows["depth"].map(str)
    is_usual = rows["layers_per_module"] == 1
    modules = rows["modules"].map(lambda count: f"{count} module{'s' if count > 1 else ''}")
    rows = rows.assign(panel=panel, series=rows["series"].where(is_usual, rows["series"] + ", " + modules))
    # Clean labels are the rate 0 of every kind of noise; further kinds get panels of their own.
    kinds = [kind for kind in rows["noise_kind"].unique() if kind != "none"]
    if not kinds:
        return rows
    parts = []
    for kind in kinds:
        part = rows[rows["noise_kind"].isin(["none", kind])]
        parts.append(part.assign(panel=part["panel"] + ("\n" + kind if len(kinds) > 1 else f", {kind}")))
    return pd.concat(parts, ignore_index=True)


def _look(rows: pd.DataFrame) -> tuple[list[str], dict[str, Any], dict[str, str]]:
    """The series in order, and each one's colour and marker: a method keeps its own on every figure."""
    order = ordered_series(rows)
    methods = dict(zip(rows["series"], rows["method"], strict=True))
    palette, markers, seen = {}, {}, dict[str, int]()
    for series in order:
        method = methods[series]
        place = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER) + sum(map(ord, method)) % 3
        repeat = seen.get(method, 0)
        seen[method] = repeat + 1
        colour = _COLOURS.get(method) or _OTHER_COLOURS[place - len(METHOD_ORDER)]
        palette[series] = sns.light_palette(colour, 4)[-1 - repeat % 3]
        markers[series] = _MARKERS[(place + 4 * repeat) % len(_MARKERS)]
    return order, palette, markers


def _lines(
    rows: pd.DataFrame, x: str, y_label: str, log_y: bool, log_x: bool = True, errorbar: tuple[str, int] | None = None
) -> sns.FacetGrid:
    """Lines with markers, a panel a value of ``panel``; draws ``low`` to ``high`` as bars where the rows have them."""
    order, palette, markers = _look(rows)
    panels = sorted(rows["panel"].unique())
    grid = sns.relplot(
        data=rows,
        x=x,
        y="y",
        hue="series",
        style="series",
        hue_order=order,
        style_order=order,
        palette=palette,
        markers=markers,
        dashes=False,
        kind="line",
        errorbar=errorbar,
        err_style="bars",
        err_kws={"capsize": 2, "linewidth": 0.8},
        col="panel",
        col_order=panels,
        col_wrap=min(3, len(panels)),
        height=PANEL_INCHES[1],
        aspect=PANEL_INCHES[0] / PANEL_INCHES[1],
        facet_kws={"sharey": False, "sharex": False, "legend_out": False},
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
            _hollow_noisy(axes, shown, x, palette, markers)
        if log_x:
            axes.set_xscale("log", base=2)
        ticks = sorted(shown[x].unique())
        if len(ticks) <= 16:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        if log_y:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if _leads(value) else ""))
            low, high = axes.get_ylim()
            spare = max(1.0, _LEAST_SPAN * low / high) ** 0.5
            axes.set_ylim(low / spare, high * spare)
    grid.set_titles("{col_name}")
    grid.set_axis_labels(_AXES.get(x, x.replace("_", " ")), y_label)
    _finish(grid)
    return grid


def _hollow_noisy(axes: Any, rows: pd.DataFrame, x: str, palette: dict[str, Any], markers: dict[str, str]) -> None:
    """Empties the markers of noisy rows."""
    noisy = rows[rows["verdict"] == "noisy"]
    for series in noisy["series"].unique():
        points = noisy[noisy["series"] == series]
        look = {"marker": markers[series], "markeredgecolor": palette[series], "markerfacecolor": "white"}
        axes.plot(points[x], points["y"], linestyle="none", markersize=6, zorder=3, **look)


def _leads(value: float) -> bool:
    """Whether the first digit of a tick is 2 or 5, the ones worth a label between powers of ten."""
    return f"{value:e}"[0] in "25"


def _finish(grid: sns.FacetGrid) -> None:
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


def _data(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """The figure's numbers as a table."""
    table = rows[["panel", "series", *columns]].copy()
    table["panel"] = table["panel"].str.replace("\n", ", ")
    table = table.rename(columns={"panel": "where", "series": "method", **columns})
    for column in table.select_dtypes("float").columns:
        shown = "{:,.0f}" if column.endswith("bytes") else "{:.4g}"  # bytes are exact
        table[column] = table[column].map(shown.format)
    return table.reset_index(drop=True)


def _describe(rows: pd.DataFrame, x: str, what: str, show: Callable[[float], str]) -> str:
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
