"""The figure of step time against the number of ranks, with the lower bound of the schedule."""

from typing import Any

import pandas as pd

from bench.analysis.panels import cell_titles
from bench.analysis.ranks import rows_on_several_ranks
from bench.report.figures.describe import data_table, ends_of_lines
from bench.report.figures.panels import lines_in_panels
from bench.report.figures.style import Figure, drawing, figure_svg
from bench.store.record import Ranks

_BOUND = ", bound"


def draw_ranks(frame: pd.DataFrame) -> list[Figure]:
    """Return the figure with one panel per cell, or an empty list if neither a ratio nor a bound is known."""
    rows = rows_on_several_ranks(frame)
    if rows.empty:
        return []
    rows = rows.assign(panel=cell_titles(rows))
    points = pd.DataFrame([point for _, row in rows.iterrows() for point in _points(row)])
    if points.empty:
        return []
    points[["low", "high"]] = points[["low", "high"]].astype(float)  # None becomes NaN
    bounds = set(points.loc[points["series"].str.endswith(_BOUND), "series"])
    columns = {"ranks": "ranks", "y": "time / one rank's", "low": "95 % from", "high": "95 % to", "verdict": "verdict"}
    with drawing():
        figure = lines_in_panels(points, "ranks", "step time / one rank's", log_x=False, reference=1, dashed=bounds)
        for axes in figure.axes:
            axes.set_ylim(bottom=0)
            axes.set_xlim(points["ranks"].min() - 0.5, points["ranks"].max() + 0.5)
        svg = figure_svg(figure)
    drawn = Figure(
        "time-against-ranks",
        "Step time on several ranks relative to one rank",
        "Values below 1 are faster than one rank with the same number of threads per rank; bars are 95 % intervals, of "
        "one run within it and of several over runs, on which the verdicts in the table below rest. The bound (dashed) "
        "is the shortest time that the schedule allows, computed from phases timed on one rank.",
        svg,
        data_table(points, columns).replace("nan", "no interval"),
        ends_of_lines(points, "ranks", "time relative to one rank", lambda value: f"{value:.2f}"),
    )
    return [drawn]


def _points(row: pd.Series) -> list[dict[str, Any]]:
    """Return the measured ratio and the bound of one cell, as far as they are known."""
    results: Ranks = row["rank_results"]
    measured, bound = results.ratio_to_one_rank, results.bound
    shared = {name: row[name] for name in ("panel", "method", "ranks")}
    points = []
    if measured is not None:
        low, high = results.ratio_to_one_rank_ci95 or (None, None)
        point = {"series": row["series"], "y": measured, "low": low, "high": high, "verdict": row["verdict"]}
        points.append(shared | point)
    if bound is not None:
        points.append(
            shared | {"series": row["series"] + _BOUND, "y": bound, "low": None, "high": None, "verdict": "bound"}
        )
    return points
