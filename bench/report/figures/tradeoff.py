"""The figure of memory against latency, with the Pareto front."""

import pandas as pd

from bench.analysis.headline import most_compared_cells
from bench.analysis.panels import cell_titles
from bench.analysis.pareto import with_front
from bench.report.figures.costs import with_ratio_interval
from bench.report.figures.describe import data_table
from bench.report.figures.panels import Linestyle, draw_series, make_panels, use_logarithmic_y
from bench.report.figures.style import GREY, RED, Figure, figure_svg, look_of

_CELLS_PER_NETWORK = 4
_COLUMNS = {
    "layout": "layout",
    "memory.peak_activation_bytes": "peak activation bytes",
    "y": "activations / BP",
    "x": "latency / BP",
    "low": "95 % from",
    "high": "95 % to",
    "basis": "over",
    "verdict": "verdict",
    "front": "Pareto front",
}


def draw_tradeoff(frame: pd.DataFrame) -> list[Figure]:
    """Return the figure, or an empty list if no cell has both memory and latency of a method and of BP."""
    rows = with_front(frame)
    rows = rows[rows["memory.activation_ratio"].notna()] if len(rows) else rows
    if rows.empty:
        return []
    rows = with_ratio_interval(most_compared_cells(rows, _CELLS_PER_NETWORK))
    rows = rows.assign(panel=cell_titles(rows), x=rows["y"], y=rows["memory.activation_ratio"])
    look = look_of(rows)
    unjoined: dict[str, Linestyle] = dict.fromkeys(look.order, "none")
    figure, axes_by_panel = make_panels(list(dict.fromkeys(rows["panel"])), look, unjoined)
    for panel, axes in axes_by_panel.items():
        shown = rows[rows["panel"] == panel]
        for series in look.order:
            draw_series(axes, shown[shown["series"] == series], "x", look, "none")
        front = shown[shown["on_front"]].sort_values(["x", "y"])
        axes.plot(front["x"], front["y"], color=RED, linewidth=1, drawstyle="steps-post", zorder=1)
        axes.scatter(front["x"], front["y"], s=150, facecolors="none", edgecolors=RED, linewidth=1, zorder=2)
        axes.axhline(1, color=GREY, linewidth=0.8)
        axes.axvline(1, color=GREY, linewidth=0.8)
        use_logarithmic_y(axes)
        axes.set_xlabel("step latency / BP's")
        axes.set_ylabel("peak activations / BP's")
    fronts = "; ".join(
        f"{name}: {', '.join(part.loc[part['on_front'], 'series'])}".replace("\n", ", ")
        for name, part in rows.groupby("panel", sort=False)
    )
    drawn = Figure(
        "memory-against-latency",
        "Memory against latency, both relative to BP",
        "One panel per cell, with every method that was measured on it. Each network shows up to four cells: those "
        "with the most methods, then the largest. Methods left of 1 are faster than BP, methods below 1 need less "
        "memory; the vertical axis is logarithmic. Red circles and the red line mark the Pareto front: no other method "
        "is better in both, by medians. Open markers have a noisy latency, which cannot be relied on.",
        figure_svg(figure),
        data_table(rows, _COLUMNS),
        f"Memory ratio against latency ratio, one panel per cell. Methods on the Pareto front: {fronts}.",
    )
    return [drawn]
