"""Several ranks: what they give over one and what they cost, beside the bound that their schedule allows."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bench.analysis.frame import cell_titles, ordered_series, series_names
from bench.report.figures.drawing import Figure, data_table, drawing, figure_svg, in_words, lines_in_panels
from bench.report.tables.measured import NOT_MEASURED, without_the_same
from bench.store.record import Ranks

_BOUND = ", bound"
_PLACE = ["network", "dataset", "pixels", "depth", "modules", "cut", "width", "hidden", "batch_size"]


def _on_several(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with results of several ranks; their series do not say how many, which the axis and a column do."""
    if frame.empty:
        return frame
    rows = frame[frame["rank_results"].notna()]
    return rows if rows.empty else rows.assign(series=series_names(rows.drop(columns="ranks")))


def ranks_table(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a cell on several ranks; empty where there is none."""
    rows = _on_several(frame)
    if rows.empty:
        return pd.DataFrame()
    order = {series: at for at, series in enumerate(ordered_series(rows))}
    rows = rows.assign(order=rows["series"].map(order)).sort_values([*_PLACE, "order", "ranks", "seed"])
    return without_the_same(pd.DataFrame([_table_row(row) for _, row in rows.iterrows()]))


def _table_row(row: pd.Series) -> dict[str, object]:
    results: Ranks = row["rank_results"]
    peaks, totals = results.peak_activation_bytes, results.peak_total_bytes
    rate = row.get("latency.samples_per_second")
    return {
        "network": row["network"],
        "layout": row["layout"],
        "data": row["dataset"],
        "image": row["image"],
        "method": row["series"],
        "depth": row["depth"],
        "modules": row["modules"],
        "cut": row["cut"],
        "width": row["width"],
        "hidden": row["hidden"],
        "batch": row["batch_size"],
        "ranks": row["ranks"],
        "threads a rank": "unset" if pd.isna(row["threads"]) else int(row["threads"]),
        "modules by rank": ", ".join(map(str, results.modules)),
        "time / one rank's [95 %]": _ratio_text(results),
        "bound": NOT_MEASURED if results.bound is None else f"{results.bound:.2f}",
        "busy by rank, %": _listed(results.busy_share, lambda share: f"{100 * share:.0f}"),
        "peak activation bytes, largest rank": NOT_MEASURED if peaks is None else f"{max(peaks):,}",
        "peak activation bytes, all ranks": NOT_MEASURED if peaks is None else f"{sum(peaks):,}",
        "peak activation bytes by rank": _listed(peaks, lambda size: f"{size:,}"),
        "peak total bytes, largest rank": NOT_MEASURED if totals is None else f"{max(totals):,}",
        "peak total bytes by rank": _listed(totals, lambda size: f"{size:,}"),
        "samples/s": NOT_MEASURED if pd.isna(rate) else f"{rate:,.0f}",
    }


def _ratio_text(results: Ranks) -> str:
    if results.ratio_to_one_rank is None:
        return NOT_MEASURED
    if results.ratio_to_one_rank_ci95 is None:
        return f"{results.ratio_to_one_rank:.2f} (no interval)"
    low, high = results.ratio_to_one_rank_ci95
    return f"{results.ratio_to_one_rank:.2f} [{low:.2f}, {high:.2f}]"


def _listed(values: Sequence[Any] | None, show: Callable[[Any], str]) -> str:
    return NOT_MEASURED if values is None else "; ".join(map(show, values))


def draw_ranks(frame: pd.DataFrame) -> Figure | None:
    """Measured ratio and bound against the number of ranks, a panel a cell; None where no ratio was measured."""
    rows = _on_several(frame)
    if rows.empty:
        return None
    rows = rows.assign(panel=cell_titles(rows))
    points = pd.DataFrame([point for _, row in rows.iterrows() for point in _points(row)])
    if points.empty:
        return None
    points[["low", "high"]] = points[["low", "high"]].astype(float)  # NaN where there is no interval
    bounds = set(points.loc[points["series"].str.endswith(_BOUND), "series"])
    columns = {"ranks": "ranks", "y": "time / one rank's", "low": "95 % from", "high": "95 % to"}
    with drawing():
        grid = lines_in_panels(points, "ranks", "step time / one rank's", log_y=False, log_x=False, dashed=bounds)
        for axes in grid.axes_dict.values():
            axes.set_ylim(bottom=0)
            axes.set_xlim(points["ranks"].min() - 0.5, points["ranks"].max() + 0.5)
        svg = figure_svg(grid.figure)
    return Figure(
        "time-against-ranks",
        "Step time on several ranks over that on one",
        "Below 1 is faster than one rank with the same threads a rank; bars: 95 % intervals. A bound (dashed) is the "
        "least that the schedule allows, from phases timed on one rank.",
        svg,
        data_table(points, columns).replace("nan", "no interval"),
        in_words(points, "ranks", "time over one rank's", lambda value: f"{value:.2f}"),
    )


def _points(row: pd.Series) -> list[dict[str, Any]]:
    """The measured ratio and the bound of one cell, where there are any."""
    results: Ranks = row["rank_results"]
    measured, bound = results.ratio_to_one_rank, results.bound
    shared = {name: row[name] for name in ("panel", "method", "ranks")}
    points = []
    if measured is not None:
        low, high = results.ratio_to_one_rank_ci95 or (None, None)
        points.append(shared | {"series": row["series"], "y": measured, "low": low, "high": high})
    if bound is not None:
        points.append(shared | {"series": row["series"] + _BOUND, "y": bound, "low": None, "high": None})
    return points
