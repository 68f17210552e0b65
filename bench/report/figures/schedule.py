"""The figures of module schedules: which module computes when, and how long modules wait for their gradients."""

from collections import Counter
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import Rectangle

from bench.analysis.locking import step_seconds, waits_by_module
from bench.analysis.panels import data_text, modules_text
from bench.analysis.series import ordered_series
from bench.analysis.traced import traced_cells
from bench.report.figures.style import Figure, drawing, figure_svg
from bench.store.record import Trace

_PHASES = {
    "f": ("forward", "#56b4e9"),
    "b": ("backward", "#d55e00"),
    "s": ("optimizer", "#009e73"),
    "w": ("waiting for another rank", "#dddddd"),
}
# A panel has room for at least this many, so that a single lane is not too high, and title and axis have room.
_FEWEST_LANES = 4
_COLUMNS = 2
_PANEL_WIDTH = 5.8
_LANE_HEIGHT = 0.15
_FRAME_HEIGHT = 0.75


def draw_schedules(frame: pd.DataFrame) -> list[Figure]:
    """Return one figure per cell of :func:`bench.analysis.traced.traced_cells`; figures of one network are numbered."""
    with drawing():
        figures = [_draw(rows) for rows in traced_cells(frame)]
    names = Counter(figure.name for figure in figures)
    return [
        figure if names[figure.name] == 1 else replace(figure, name=f"{figure.name}-{number}")
        for number, figure in enumerate(figures, start=1)
    ]


def _draw(rows: pd.DataFrame) -> Figure:
    first = rows.iloc[0]
    layout = first["layout"]
    series = ordered_series(rows)
    traces: dict[str, Trace] = {name: rows[rows["series"] == name].iloc[0]["trace"] for name in series}
    lanes = {name: _lanes(trace) for name, trace in traces.items()}
    lines = -(-len(series) // _COLUMNS)
    columns = min(_COLUMNS, len(series))
    height = _FRAME_HEIGHT + _LANE_HEIGHT * max(_FEWEST_LANES, *map(len, lanes.values()))
    figure = MatplotlibFigure(figsize=(_PANEL_WIDTH * columns, height * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    lengths = {name: 1000 * max(trace.end_seconds) for name, trace in traces.items()}
    longest = max((lengths[name] for name, trace in traces.items() if trace.steps == 1), default=0.0)
    for panel, (name, trace) in zip(axes.flat, traces.items(), strict=False):
        _draw_panel(panel, trace, lanes[name], layout)
        panel.set_title(name if trace.steps == 1 else f"{name}: {trace.steps} steps")
        # All single steps share a scale, so that a longer step looks longer; a trace of several steps has its own.
        panel.set_xlim(0, longest if trace.steps == 1 else lengths[name])
    for panel in axes.flat[len(series) :]:
        panel.set_visible(False)
    used = [letter for letter in _PHASES if any(letter in trace.phase for trace in traces.values())]
    handles = [Rectangle((0, 0), 1, 1, color=_PHASES[letter][1]) for letter in used]
    figure.legend(handles, [_PHASES[letter][0] for letter in used], loc="outside upper left", ncol=4, frameon=False)
    return Figure(
        f"module-schedule-{first['network']}",
        f"Module schedule of {first['network']} ({layout}), {modules_text(first)}, batch {first['batch_size']}",
        f"Depth {first['depth']}, {modules_text(first)}, hidden {first['hidden']}, batch {first['batch_size']} on "
        f"{data_text(first)}. There is one panel per method and one lane per module. Time runs to the right, on one "
        "scale for all single steps. In a gap between its forward and its backward pass, a module waits for its "
        "gradient (update locking). The dotted line marks the time at which the gradient of module 1 is complete. Each "
        "panel shows the step of median length out of a few traced steps, which are not the timed ones.",
        figure_svg(figure),
        pd.concat([_data(name, trace, layout) for name, trace in traces.items()], ignore_index=True),
        " ".join(_sentence(name, trace) for name, trace in traces.items()),
    )


def _lanes(trace: Trace) -> list[tuple[int, int | None]]:
    """Return (rank, module) of each lane from top to bottom; spans without a module come below the rank's modules."""
    pairs = set(zip(trace.rank, trace.module, strict=True))
    return sorted(pairs, key=lambda lane: (lane[0], lane[1] is None, lane[1] or 0))


def _draw_panel(panel: Axes, trace: Trace, lanes: list[tuple[int, int | None]], layout: str) -> None:
    place = {lane: at for at, lane in enumerate(lanes)}
    for letter, (_, colour) in _PHASES.items():
        for lane, at in place.items():
            bars = [
                (1000 * start, 1000 * (end - start))
                for rank, module, phase, start, end in _columns(trace)
                if (rank, module) == lane and phase == letter
            ]
            if bars:
                panel.broken_barh(bars, (at - 0.42, 0.84), facecolors=colour, linewidth=0)
    waits = waits_by_module(trace) if trace.steps == 1 else []
    if waits:
        panel.axvline(1000 * waits[0].complete * step_seconds(trace), color="#1c1c1c", linestyle=":", linewidth=1.2)
    several = len(set(trace.rank)) > 1
    labels = [(f"rank {rank}: " if several else "") + _lane_name(module, trace, layout) for rank, module in lanes]
    panel.set_yticks(range(len(lanes)), labels, fontsize=7)
    panel.set_ylim(max(len(lanes), _FEWEST_LANES) - 0.4, -0.6)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("ms")
    panel.set_ylabel("module")


def _lane_name(module: int | None, trace: Trace, layout: str) -> str:
    if module is not None:
        return str(module)
    if set(trace.module) == {None}:
        return "all modules"
    return "rest" if layout == "pipeline" else "trunk, rest"


def _columns(trace: Trace) -> list[tuple[int, int | None, str, float, float]]:
    columns = (trace.rank, trace.module, trace.phase, trace.start_seconds, trace.end_seconds)
    return list(zip(*columns, strict=True))


def _data(name: str, trace: Trace, layout: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": name,
                "rank": rank,
                "module": _lane_name(module, trace, layout),
                "phase": _PHASES[phase][0],
                "from, ms": f"{1000 * start:.4f}",
                "to, ms": f"{1000 * end:.4f}",
            }
            for rank, module, phase, start, end in _columns(trace)
        ]
    )


def _sentence(name: str, trace: Trace) -> str:
    waits = waits_by_module(trace)
    length = f"{name}: {1000 * step_seconds(trace):.3g} ms per step"
    if not waits:
        return f"{length}; modules are not separate."
    return (
        f"{length}; the gradient of module 1 is complete after {100 * waits[0].complete:.0f} % of the step, and the "
        f"module is locked for {100 * waits[0].locked:.0f} % of the step."
    )
