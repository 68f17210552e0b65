"""The figure of module schedules: which module computes when, and how long modules wait for their gradients."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, MaxNLocator

from bench.analysis.lanes import Lane, is_mostly_trunk, lanes_of
from bench.analysis.locking import step_seconds, waits_by_module
from bench.analysis.panels import cell_titles, most_views
from bench.analysis.series import ordered_series
from bench.analysis.traced import traced_cells
from bench.analysis.words import counted
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.multiples import Word, make_multiples, title_of
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of, left_out_text, one_line, view_names
from bench.report.tables.text import ABSENT, milliseconds
from bench.store.measurements.trace import Trace

_PHASES = {
    "f": Word("forward", "#56b4e9"),
    "b": Word("backward", "#d55e00"),
    "s": Word("optimizer", "#009e73"),
    "w": Word("waiting for another rank", "#e2c98a"),
}
_WAIT = Word("waiting for its gradient", "#9a9a9a")
_MOST_VIEWS = 6
_LANE_INCHES = 0.13
_LABEL_INCHES = 0.18  # between the labels of two lanes
_FEWEST_LANES = 5  # a panel is as high as if it had so many
_BAR_POINTS = 0.8 * 72 * _LANE_INCHES
_NARROWEST = 0.3  # per cent of the axis: the width of a bar that takes less


class _Panel(NamedTuple):
    """The lanes of a method; ``first_row`` is the number of the first one's row in the data."""

    series: str
    is_bp: bool
    trace: Trace
    lanes: list[Lane]
    first_row: int


def draw_schedules(frame: pd.DataFrame, look: Look) -> Figure | None:
    """Return one view per cell of :func:`bench.analysis.traced.traced_cells`; None if there is none.

    Args:
        frame: of :func:`bench.analysis.frame.records_frame`.
        look: of the series of the report.
    """
    cells = sorted(traced_cells(frame), key=lambda rows: -rows["modules"].iloc[0])
    if not cells:
        return None
    most = most_views(frame, _MOST_VIEWS)
    cells, left_out = cells[:most], max(0, len(cells) - most)
    titles = [one_line(cell_titles(rows)[0]) for rows in cells]
    return Figure(
        "module-schedule",
        "Which module computes when",
        "cell",
        "There is one panel per method and one lane per module, or per group of neighbours; the lowest lane is the "
        "trunk and what belongs to no single module. Time runs to the right, in per cent of the step of each method. "
        "A grey line marks where a module waits, after its forward pass, for its gradient (update locking). Where "
        "modules take less than 2 % of a step, the time in which none computes is collapsed, and the axis is the time "
        "of the modules. Each panel shows the step of median length out of a few traced steps, which are not the timed "
        "ones." + left_out_text(left_out, "cell"),
        tuple(_view(*found, look) for found in zip(view_names(titles), titles, cells, strict=True)),
    )


def _view(name: str, title: str, rows: pd.DataFrame, look: Look) -> View:
    by_series = {series: rows[rows["series"] == series].iloc[0] for series in ordered_series(rows)}
    collapse = is_mostly_trunk([row["trace"] for row in by_series.values()])
    layout = str(rows.iloc[0]["layout"])
    panels: list[_Panel] = []
    data: list[dict[str, str]] = []
    cells: list[str] = []
    for series, row in by_series.items():
        trace: Trace = row["trace"]
        lanes = lanes_of(trace, collapse)
        panels.append(_Panel(series, bool(row["is_baseline"]), trace, lanes, len(data)))
        data += [_numbers(series, trace, lane, layout) | {"cell": title} for lane in lanes]
        cells += [str(row["id"])] * len(lanes)
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, panels, look, layout, collapse))
    return View(name, title, _finding(panels), wide, narrow, pd.DataFrame(data), tuple(cells))


def _numbers(series: str, trace: Trace, lane: Lane, layout: str) -> dict[str, str]:
    def text(value: float | None) -> str:
        return ABSENT if value is None else f"{value:.1f}"

    return {
        "method": series,
        "rank": str(lane.rank),
        "module": _name(lane, trace, layout),
        "first span, % of the step": text(lane.start),
        "computes, % of the step": text(lane.computes),
        "gradient complete, % of the step": text(lane.complete),
        "locked, % of the step": text(lane.locked),
        "step, ms": milliseconds(step_seconds(trace)),
        "over": counted(trace.steps, "step"),
    }


def _name(lane: Lane, trace: Trace, layout: str) -> str:
    """Return the modules of a lane in words."""
    if len(lane.modules) > 2:
        return f"{lane.modules[0]} to {lane.modules[-1]}"
    if lane.modules:
        return ", ".join(map(str, lane.modules))
    if set(trace.module) == {None}:
        return "all modules"
    return "rest" if layout == "pipeline" else "trunk, rest"


def _finding(panels: Sequence[_Panel]) -> str:
    """Return how long module 1 waits for its gradient: with BP, then with the method that waits least, and so on."""
    waits = {panel.series: waits_by_module(panel.trace) for panel in panels}
    separate = [panel for panel in panels if waits[panel.series]]
    if not separate:
        return f"{shortened(panels[0].series)} runs all modules at once; no module waits for its gradient by itself."
    separate.sort(key=lambda panel: (not panel.is_bp, waits[panel.series][0].locked))
    locked = [(shortened(panel.series), 100 * waits[panel.series][0].locked) for panel in separate]
    series, share = locked[0]
    start = f"With {series}, module 1 waits {share:.0f} % of the step for its gradient"
    return finding_of([start, *(f"{share:.0f} % with {series}" for series, share in locked[1:])])


def _draw(canvas: Canvas, panels: Sequence[_Panel], look: Look, layout: str, collapse: bool) -> MatplotlibFigure:
    letters = {letter for panel in panels for letter in panel.trace.phase}
    words = [word for letter, word in _PHASES.items() if letter in letters]
    if any(lane.wait for panel in panels for lane in panel.lanes):
        words.append(_WAIT)
    titles = [title_of(canvas, f"{panel.series}{_steps_text(panel.trace)}") for panel in panels]
    labels = [_labels(panel, layout) for panel in panels]
    most = max(_FEWEST_LANES, *(len(panel.lanes) for panel in panels))
    figure, places = make_multiples(
        canvas,
        len(panels),
        words,
        inches=_LANE_INCHES * most,
        title_lines=max(title.count("\n") for title in titles) + 1,
        longest_label=max(len(text) for own in labels for text in own.values()),
    )
    for panel, place, title, own in zip(panels, places, titles, labels, strict=True):
        axes = place.axes
        _draw_lanes(axes, panel)
        axes.set_yticks(list(own), list(own.values()))
        axes.tick_params(axis="y", length=0)
        written = axes.set_title(title, loc="left", color=look.text_colours[panel.series])
        written.set_gid(series_gid(panel.series))
        axes.set_ylim(most - 0.5, -0.5)
        steps = 1 if collapse else panel.trace.steps
        axes.set_xlim(0, 100 * steps)
        axes.xaxis.set_major_locator(FixedLocator([0, 50, 100]) if steps == 1 else MaxNLocator(3))
        axes.tick_params(labelbottom=place.is_last or steps > 1)
        axes.grid(axis="y", visible=False)
    places[-1].axes.set_xlabel("time of the modules, %" if collapse else "% of the step")
    return figure


def _steps_text(trace: Trace) -> str:
    return "" if trace.steps == 1 else f", {trace.steps} steps"


def _draw_lanes(axes: Axes, panel: _Panel) -> None:
    for at, lane in enumerate(panel.lanes):
        phases = sorted({bar.phase for bar in lane.bars})
        colours = [_PHASES[phase].colour for phase in phases]
        spans = PathCollection([_line(lane, phase, at) for phase in phases], edgecolors=colours, facecolors="none")
        spans.set(linewidth=_BAR_POINTS, capstyle="butt", zorder=3, clip_on=False)
        spans.set_gid(mark_gid(panel.first_row + at, panel.series))
        axes.add_collection(spans, autolim=False)
    waits = [(at, lane.wait) for at, lane in enumerate(panel.lanes) if lane.wait is not None]
    if waits:
        across = [value for _, (start, end) in waits for value in (start, end, float("nan"))]
        up = [value for at, _ in waits for value in (at, at, float("nan"))]
        axes.plot(across, up, color=_WAIT.colour, linewidth=1.2, zorder=2, gid=series_gid(panel.series))


def _line(lane: Lane, phase: str, at: int) -> Path:
    """Return the bars of one phase as one path, which is drawn as thick lines."""
    bars = [bar for bar in lane.bars if bar.phase == phase]
    corners = [(x, at) for bar in bars for x in (bar.start, max(bar.end, bar.start + _NARROWEST))]
    return Path(corners, [Path.MOVETO, Path.LINETO] * len(bars))


def _labels(panel: _Panel, layout: str) -> dict[int, str]:
    """Return the names of as many lanes as there is room for, by the place of the lane."""
    step = -(-int(100 * _LABEL_INCHES) // int(100 * _LANE_INCHES))
    several = len({lane.rank for lane in panel.lanes}) > 1
    labels = {}
    for at in range(0, len(panel.lanes), step):
        lane = panel.lanes[at]
        name = _name(lane, panel.trace, layout).removesuffix(", rest").removesuffix(" modules")
        labels[at] = f"rank {lane.rank}: {name}" if several else name
    return labels
