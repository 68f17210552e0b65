"""The figure of memory against time: a view per cell, with the Pareto front as a band."""

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.transforms import Bbox

from bench.analysis.headline import most_compared_cells
from bench.analysis.numbers import percent, times
from bench.analysis.panels import cell_titles, most_views
from bench.analysis.pareto import ends_of_times, front_band, with_front
from bench.analysis.statistics.estimate import Interval
from bench.analysis.words import counted
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.cost_rows import in_order_of_series, with_both_ratios
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import Label, label_points, shortened
from bench.report.figures.points import draw_interval, draw_mark
from bench.report.figures.style import BAND, GREY, Look
from bench.report.figures.words import finding, left_out_text, one_line, tick_percent, view_names
from bench.report.tables.text import processes_text

MOST_VIEWS = 12
_CAPTION = (
    "Left of 1, a step takes less time than BP's; below 100 %, it needs fewer activation bytes; both axes are "
    "logarithmic. Bars are 95 % intervals of the time; bytes are exact. The shaded band is where the Pareto front can "
    "be if each time is somewhere in its interval: a method whose bar lies wholly above the band is beaten in both by "
    "another. Open marks have a noisy time, which cannot be relied on and takes no part in the front. Where the "
    "numbers say 1 process, a bar leaves out how processes differ; on such a cell there is no band, but a line: the "
    "front of the estimates."
)


def tradeoff_figure(frame: pd.DataFrame, look: Look) -> Figure | None:
    """Return the figure; None if no cell has both memory and time of a method and of BP.

    Args:
        frame: the measured rows of the report.
        look: of its series.
    """
    rows = with_front(frame)
    rows = with_both_ratios(rows)
    if rows.empty:
        return None
    rows = rows.assign(title=[one_line(title) for title in cell_titles(rows)])
    cells = most_compared_cells(rows)
    shown = [in_order_of_series(cell) for cell in cells[: most_views(frame, MOST_VIEWS)]]
    titles = [cell["title"].iloc[0] for cell in shown]
    names = view_names(titles)
    return Figure(
        "memory-against-time",
        "Activation memory against step time, both relative to BP",
        "cell",
        _CAPTION + left_out_text(len(cells) - len(shown), "cell"),
        tuple(_view(name, title, cell, look) for name, title, cell in zip(names, titles, shown, strict=True)),
    )


def _view(name: str, title: str, cell: pd.DataFrame, look: Look) -> View:
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, cell, look))
    return View(name, title, _finding(cell), wide, narrow, _data(cell, title), tuple(cell["id"]))


def _data(cell: pd.DataFrame, title: str) -> pd.DataFrame:
    low, high = zip(*cell["latency.ratio_ci95"], strict=True)
    return pd.DataFrame(
        {
            "method": cell["series"],
            "peak activation bytes": cell["memory.peak_activation_bytes"].map("{:,.0f}".format),
            "activations / BP": cell["memory.activation_ratio"].map("{:.4g}".format),
            "counted by": cell["memory.instrument"],
            "time / BP": cell["latency.ratio_to_bp"].map("{:.4g}".format),
            "95 % from": [f"{end:.4g}" for end in low],
            "95 % to": [f"{end:.4g}" for end in high],
            "over": cell["latency.blocks_by_process"].map(len).map(processes_text),
            "Pareto front": cell["front"],
            "cell": title,
        }
    )


def _finding(cell: pd.DataFrame) -> str:
    """Return the sentence on the method that needs fewest bytes; of those not slower than BP if there are any.

    A method is better than BP if its interval over several processes is below 1; the intervals are not corrected for
    their number.
    """
    others = cell[~cell["is_baseline"]]
    if others.empty:
        return "No method besides BP was measured on this cell."
    quiet = others[others["latency.noisy_because"].isna()]
    if quiet.empty:
        least = others.sort_values("memory.activation_ratio", kind="stable").iloc[0]
        return finding(f"{_need(least)}; the times of this cell are noisy and decide nothing.")
    is_smaller = quiet["memory.activation_ratio"] < 1
    is_repeated = quiet["latency.blocks_by_process"].map(len) > 1  # one process says nothing of others
    is_better = is_smaller & is_repeated & quiet["latency.ratio_ci95"].map(lambda ends: ends[1] < 1)
    is_open = is_smaller & ~is_better & (~is_repeated | quiet["latency.ratio_ci95"].map(lambda ends: ends[0] <= 1))
    candidates = quiet[is_better | is_open] if (is_better | is_open).any() else quiet
    best = candidates.sort_values("memory.activation_ratio", kind="stable").iloc[0]
    low, high = best["latency.ratio_ci95"]
    over = " (1 process)" if len(best["latency.blocks_by_process"]) == 1 else ""
    time = f"{times(best['latency.ratio_to_bp'], Interval(low, high))} of its time{over}"
    better, undecided = int(is_better.sum()), int(is_open.sum())
    rest = f"; of {undecided}{' more' if better else ''} with fewer bytes the time is undecided" if undecided else ""
    return finding(
        f"{_need(best)} in {time}.",
        f"{counted(better, 'method').capitalize()} {'are' if better > 1 else 'is'} better in both than BP{rest}.",
    )


def _need(row: pd.Series) -> str:
    return f"{shortened(row['series'])} needs {percent(row['memory.activation_ratio'])} of BP's activation bytes"


def _draw(canvas: Canvas, cell: pd.DataFrame, look: Look) -> MatplotlibFigure:
    figure = canvas.figure(4.6 if canvas.kind == "wide" else 3.6)
    axes = figure.subplots()
    ends = [end for interval in cell["latency.ratio_ci95"] for end in interval if end > 0]
    every_time = [1.0, *ends, *cell["latency.ratio_to_bp"]]
    sizes = [1.0, *cell["memory.activation_ratio"]]
    most = 7 if canvas.kind == "wide" else 5
    use_log(axes.xaxis, min(every_time), max(every_time), most=most)
    use_log(axes.yaxis, min(sizes), max(sizes), tick_percent, room=0.14)
    axes.set_xlabel("step time / BP's")
    axes.set_ylabel("peak activation bytes / BP's")
    _draw_front(axes, cell)
    for line in (axes.axhline, axes.axvline):
        line(1, color=GREY, linewidth=0.8, zorder=1)
    intervals = []
    for index, row in enumerate(cell.to_dict("records")):
        series, size = row["series"], row["memory.activation_ratio"]
        low, high = (max(end, axes.get_xlim()[0]) for end in row["latency.ratio_ci95"])
        draw_interval(axes, series, (low, high), (size, size), look)
        draw_mark(axes, index, series, row["latency.ratio_to_bp"], size, look, is_open=_is_noisy(row))
        intervals.append(Bbox.from_extents(low, 0.99 * size, high, 1.01 * size))
    label_points(axes, _labels(cell, look), intervals)
    return figure


def _labels(cell: pd.DataFrame, look: Look) -> list[Label]:
    points = zip(cell["series"], cell["latency.ratio_to_bp"], cell["memory.activation_ratio"], strict=True)
    return [Label(series, series, (x, y), look.text_colours[series]) for series, x, y in points]


def _is_noisy(row: object) -> bool:
    return bool(pd.notna(row["latency.noisy_because"]))  # type: ignore[index]


def _draw_front(axes: Axes, cell: pd.DataFrame) -> None:
    quiet = cell[cell["latency.noisy_because"].isna()]
    if quiet.empty:
        return
    ends = ends_of_times(quiet) or [(ratio, ratio) for ratio in quiet["latency.ratio_to_bp"]]
    sizes = quiet["memory.activation_ratio"]
    band = front_band([(size, low, high) for size, (low, high) in zip(sizes, ends, strict=True)])
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    xs = [max(time, axes.get_xlim()[0]) for time in band.times] + [right]
    axes.fill_between(xs, _closed(band.least, top), _closed(band.most, top), step="post", color=BAND, lw=0, zorder=0.5)
    axes.plot(xs, _closed(band.least, top), drawstyle="steps-post", color=BAND, linewidth=1.2, zorder=0.6)


def _closed(heights: Sequence[float], top: float) -> list[float]:
    """Return ``heights`` with the last one repeated, and ``top`` in place of infinity."""
    finite = [top if math.isinf(height) else height for height in heights]
    return [*finite, finite[-1]]
