"""Who computes when: a lane a module, a panel a method, and how long modules wait for their gradients."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bench.analysis.frame import data_text, modules_text, ordered_series
from bench.analysis.locking import step_seconds, waiting_share, waits_by_module
from bench.config.methods import BASELINE
from bench.report.figures.drawing import Figure, drawing, figure_svg
from bench.report.tables.measured import without_the_same
from bench.store.record import Trace

_PHASES = {
    "f": ("forward", "#56b4e9"),
    "b": ("backward", "#d55e00"),
    "s": ("optimizer", "#009e73"),
    "w": ("waits for another rank", "#dddddd"),
}
_MOST_MODULES = 16  # that lanes of readable height can show
_FEWEST_LANES = 4  # that a panel has room for, so that a single one is no wall
_COLUMNS = 2
_PANEL_WIDTH = 5.8
_LANE_HEIGHT = 0.15
_FRAME_HEIGHT = 0.75
_NO_MODULES = "not told apart"


def traced_rows(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows to draw: for each network one cell, traced with BP and as many methods as there are.

    Of several such cells it is the one with the most modules up to 16. Where several ranks were traced on another cell,
    that is drawn, too.
    """
    if frame.empty:
        return []
    traced = frame[frame["trace"].notna() & (frame["modules"] > 1)]
    chosen = []
    for _, part in traced.groupby("network", sort=True):
        several_ranks = part[part["pair"].isin(part.loc[part["ranks"] > 1, "pair"])]
        pairs = [_best_pair(candidates) for candidates in (part, several_ranks) if not candidates.empty]
        chosen += [part[part["pair"] == pair].drop_duplicates("series") for pair in dict.fromkeys(pairs)]
    return chosen


def _best_pair(rows: pd.DataFrame) -> str:
    def worth(group: pd.DataFrame) -> tuple[bool, int, int, int]:
        modules = int(group["modules"].iloc[0])
        has_bp = BASELINE in set(group["method"])
        shown = modules if modules <= _MOST_MODULES else -modules
        return has_bp, shown, group["series"].nunique(), int(group["batch_size"].iloc[0])

    best = max(rows.groupby("pair", sort=True), key=lambda item: worth(item[1]))
    return str(best[0])


def draw_schedules(frame: pd.DataFrame) -> list[Figure]:
    """A figure for each part of :func:`traced_rows`."""
    with drawing():
        figures = [_draw(rows) for rows in traced_rows(frame)]
    names = [figure.name for figure in figures]
    return [figure if names.count(figure.name) == 1 else _apart(figure, at) for at, figure in enumerate(figures)]


def locking_table(frame: pd.DataFrame) -> pd.DataFrame:
    """For each method that :func:`draw_schedules` draws: when gradients are complete, and how long modules wait."""
    rows = []
    for part in traced_rows(frame):
        for series in ordered_series(part):
            row = part[part["series"] == series].iloc[0]
            trace: Trace = row["trace"]
            waits = waits_by_module(trace)
            waiting = waiting_share(trace)
            rows.append(
                {
                    "network": row["network"],
                    "layout": row["layout"],
                    "data": row["dataset"],
                    "image": row["image"],
                    "method": series,
                    "modules": row["modules"],
                    "cut": row["cut"],
                    "batch": row["batch_size"],
                    "ranks": row["ranks"],
                    "step traced, ms": f"{1000 * step_seconds(trace):.3f}",
                    "module 1's gradient complete, % of the step": _percent(waits[0].complete if waits else None),
                    "module 1 locked, % of the step": _percent(waits[0].locked if waits else None),
                    "locked, mean over modules, %": _percent(
                        sum(wait.locked for wait in waits) / len(waits) if waits else None
                    ),
                    "ranks wait, % of their time": _percent(
                        waiting, "does not say" if row["ranks"] > 1 else "one rank"
                    ),
                }
            )
    return without_the_same(pd.DataFrame(rows))


def _percent(share: float | None, otherwise: str = _NO_MODULES) -> str:
    return otherwise if share is None else f"{100 * share:.1f}"


def _apart(figure: Figure, at: int) -> Figure:
    return Figure(f"{figure.name}-{at + 1}", figure.title, figure.caption, figure.svg, figure.data, figure.alternative)


def _draw(rows: pd.DataFrame) -> Figure:
    first = rows.iloc[0]
    layout = first["layout"]
    series = ordered_series(rows)
    traces: dict[str, Trace] = {name: rows[rows["series"] == name].iloc[0]["trace"] for name in series}
    lanes = {name: _lanes(trace) for name, trace in traces.items()}
    lines = -(-len(series) // _COLUMNS)
    columns = min(_COLUMNS, len(series))
    height = _FRAME_HEIGHT + _LANE_HEIGHT * max(map(len, lanes.values()))
    figure, axes = plt.subplots(
        lines, columns, figsize=(_PANEL_WIDTH * columns, height * lines), squeeze=False, layout="constrained"
    )
    lengths = {name: 1000 * max(trace.end_seconds) for name, trace in traces.items()}
    longest = max((lengths[name] for name, trace in traces.items() if trace.steps == 1), default=0.0)
    for panel, (name, trace) in zip(axes.flat, traces.items(), strict=False):
        _draw_panel(panel, trace, lanes[name], layout)
        panel.set_title(name if trace.steps == 1 else f"{name}: {trace.steps} steps")
        # One scale for all, so that a longer step looks longer; several steps have one of their own.
        panel.set_xlim(0, longest if trace.steps == 1 else lengths[name])
    for panel in axes.flat[len(series) :]:
        panel.set_visible(False)
    used = [letter for letter in _PHASES if any(letter in trace.phase for trace in traces.values())]
    handles = [Rectangle((0, 0), 1, 1, color=_PHASES[letter][1]) for letter in used]
    figure.legend(handles, [_PHASES[letter][0] for letter in used], loc="outside upper left", ncol=4, frameon=False)
    return Figure(
        f"who-computes-when-{first['network']}",
        f"Who computes when, {first['network']} ({layout}), {modules_text(first)}, batch {first['batch_size']}",
        f"Depth {first['depth']}, {modules_text(first)}, hidden {first['hidden']}, batch {first['batch_size']} on "
        f"{data_text(first)}. A lane is a module, time runs to the right on one scale for all single steps. What is "
        "empty between a module's forward and backward is a module that has run and waits for its gradient (update "
        "locking). The dotted line is where module 1's gradient is complete. The step of median length of a few, "
        "followed apart from the timed ones.",
        figure_svg(figure),
        pd.concat([_data(name, trace, layout) for name, trace in traces.items()], ignore_index=True),
        " ".join(_in_words(name, trace) for name, trace in traces.items()),
    )


def _lanes(trace: Trace) -> list[tuple[int, int | None]]:
    """(Rank, module) from top to bottom; what is no one module's below its rank's modules."""
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
        return "all at once"
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


def _in_words(name: str, trace: Trace) -> str:
    waits = waits_by_module(trace)
    length = f"{name}: {1000 * step_seconds(trace):.3g} ms a step"
    if not waits:
        return f"{length}, modules {_NO_MODULES}."
    return (
        f"{length}, module 1's gradient complete at {100 * waits[0].complete:.0f} % of it after waiting "
        f"{100 * waits[0].locked:.0f} %."
    )
