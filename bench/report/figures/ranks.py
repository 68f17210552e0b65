"""The figure of step time on several ranks: a dumbbell per schedule from its bound to its measured time."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.numbers import times
from bench.analysis.panels import cell_titles, most_views
from bench.analysis.ranks import rows_on_several_ranks
from bench.analysis.statistics.estimate import Interval
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import FONT_SIZE, shortened
from bench.report.figures.marks import series_gid
from bench.report.figures.points import draw_interval, draw_mark
from bench.report.figures.style import GREY, RULE, Look
from bench.report.figures.words import finding, left_out_text, one_line, view_names
from bench.report.tables.text import processes_text
from bench.store.measurements.ranks import Ranks

MOST_VIEWS = 12
_MOST_ROWS = 40  # of a view
_LINE_INCHES = {"wide": 0.3, "narrow": 0.46}  # the height of a dumbbell; in the narrow drawing its name is above it
_CAPTION = (
    "Left of 1, a step on several ranks is faster than the same rule on one rank with the same number of threads per "
    "rank. The vertical stroke is the bound: the shortest time that the schedule allows, computed from phases timed on "
    "one rank. Bars are 95 % intervals, of one run within it and of several over runs; the verdicts in the table rest "
    "on the latter. Open marks are noisy and cannot be relied on. The axis is logarithmic. "
    f"A view shows {_MOST_ROWS} schedules at most, the fastest."
)


def ranks_figure(frame: pd.DataFrame, look: Look) -> Figure | None:
    """Return the figure; None if neither a ratio nor a bound is known of any cell on several ranks.

    Args:
        frame: the measured rows of the report.
        look: of the series of :func:`bench.analysis.ranks.rows_on_several_ranks`.
    """
    rows = rows_on_several_ranks(frame)
    if rows.empty:
        return None
    titles = [one_line(title) for title in cell_titles(rows.assign(ranks=1))]
    rows = pd.DataFrame(
        [_measured(row) | {"title": title} for title, (_, row) in zip(titles, rows.iterrows(), strict=True)]
    )
    rows = rows[rows["place"].notna()]
    if rows.empty:
        return None
    cells = sorted((part for _, part in rows.groupby("title")), key=lambda part: -len(part))
    shown = [_in_order(cell) for cell in cells[: most_views(frame, MOST_VIEWS)]]
    titles = [cell["title"].iloc[0] for cell in shown]
    return Figure(
        "step-time-on-ranks",
        "Step time on several ranks relative to one rank",
        "cell",
        _CAPTION + left_out_text(len(cells) - len(shown), "cell"),
        tuple(_view(*found, look) for found in zip(view_names(titles), titles, shown, strict=True)),
    )


def _measured(row: pd.Series) -> dict[str, Any]:
    """Return what a view shows of a row; ``place``, where its mark is, is the bound's if the time was not measured."""
    results: Ranks = row["rank_results"]
    ratio = results.ratio_to_one_rank
    low, high = results.ratio_to_one_rank_ci95 or (None, None)
    runs = None if ratio is None else len(results.one_rank_blocks_by_process or [0])
    return {
        "id": row["id"],
        "series": row["series"],
        "method": row["method"],
        "ranks": row["ranks"],
        "seed": row["seed"],
        "name": f"{row['series']}, {row['ranks']} ranks",
        "verdict": row["verdict"],
        "is_noisy": pd.notna(row.get("latency.noisy_because")),
        "place": results.bound if ratio is None else ratio,
        "runs": runs,
        **{name: float("nan") if value is None else value for name, value in (("low", low), ("high", high))},
        "ratio": float("nan") if ratio is None else ratio,
        "bound": float("nan") if results.bound is None else results.bound,
    }


def _in_order(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the fastest schedule first, then those that were not measured, with their line from 0."""
    fastest = cell.groupby("name")["ratio"].transform("min").fillna(float("inf"))
    cell = cell.assign(fastest=fastest).sort_values(["fastest", "name", "ratio", "seed"]).reset_index(drop=True)
    names = list(dict.fromkeys(cell["name"]))[:_MOST_ROWS]
    cell = cell[cell["name"].isin(names)]
    return cell.assign(line=cell["name"].map(names.index))


def _view(name: str, title: str, cell: pd.DataFrame, look: Look) -> View:
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, cell, look))
    return View(name, title, _finding(cell), wide, narrow, _data(cell, title), tuple(cell["id"]))


def _data(cell: pd.DataFrame, title: str) -> pd.DataFrame:
    shown = {"ratio": "time / one rank's", "low": "95 % from", "high": "95 % to", "bound": "bound"}
    columns = {heading: cell[name].map("{:.4g}".format).replace("nan", "") for name, heading in shown.items()}
    over = ["" if pd.isna(runs) else processes_text(int(runs)) for runs in cell["runs"]]
    return pd.DataFrame(
        {"method": cell["series"], "ranks": cell["ranks"].map(str)}
        | columns
        | {"over": over, "verdict": cell["verdict"], "cell": title}
    )


def _finding(cell: pd.DataFrame) -> str:
    """Return the sentence on the fastest schedule and how near it comes to its bound."""
    measured = cell[cell["ratio"].notna()]
    quiet = measured[~measured["is_noisy"]]
    if measured.empty:
        best = cell.sort_values("bound").iloc[0]
        return finding(
            f"No time was measured; {_subject(best)} has the least bound, {times(best['bound'])} of one rank's."
        )
    if quiet.empty:
        return "All times here are noisy and decide nothing."
    best = quiet.sort_values("ratio").iloc[0]
    interval = None if pd.isna(best["low"]) else Interval(best["low"], best["high"])
    schedules = quiet["name"].nunique()
    are = " that are not noisy" if schedules < measured["name"].nunique() else ""
    least = f", the least of {schedules} schedules{are}" if schedules > 1 else ""
    bound = "" if pd.isna(best["bound"]) else f"; its bound is {times(best['bound'])}"
    return finding(
        f"{_subject(best)} takes {times(best['ratio'], interval)} of one rank's time{least}{bound}.",
        f"Verdict: {best['verdict']}.",
    )


def _subject(row: pd.Series) -> str:
    return f"{shortened(row['series'])} on {row['ranks']} ranks"


def _draw(canvas: Canvas, cell: pd.DataFrame, look: Look) -> MatplotlibFigure:
    lines = int(cell["line"].max()) + 1
    figure = canvas.figure(0.75 + _LINE_INCHES[canvas.kind] * lines)
    axes = figure.subplots()
    places = pd.concat([cell[name] for name in ("ratio", "bound", "low", "high")])
    places = [1.0, *places[places > 0]]
    use_log(axes.xaxis, min(places), max(places), most=7 if canvas.kind == "wide" else 5)
    axes.set_ylim(lines - 0.5, -0.5 if canvas.kind == "wide" else -0.9)
    axes.set_xlabel("step time / one rank's")
    axes.axvline(1, color=GREY, linewidth=0.8, zorder=1)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    left = axes.get_xlim()[0]
    for index, row in enumerate(cell.to_dict("records")):
        series, line = row["series"], row["line"]
        if row["bound"] > 0:
            _draw_bound(axes, row, look)
        if row["low"] < row["high"]:
            draw_interval(axes, series, (max(row["low"], left), row["high"]), (line, line), look)
        draw_mark(axes, index, series, row["place"], line, look, is_open=row["is_noisy"] or pd.isna(row["ratio"]))
    _name_lines(axes, canvas, cell, look)
    return figure


def _draw_bound(axes: Axes, row: Mapping[Any, Any], look: Look) -> None:
    colour, line = look.colours[row["series"]], row["line"]
    (joined,) = axes.plot([row["bound"], row["place"]], [line, line], color=RULE, linewidth=3, zorder=2)
    (stroke,) = axes.plot([row["bound"]] * 2, [line - 0.22, line + 0.22], color=colour, linewidth=2, zorder=3)
    for drawn in (joined, stroke):
        drawn.set_gid(series_gid(row["series"]))


def _name_lines(axes: Axes, canvas: Canvas, cell: pd.DataFrame, look: Look) -> None:
    """Write the name of each dumbbell: left of it in the wide drawing, above it in the narrow one."""
    axes.set_yticks([])
    is_wide = canvas.kind == "wide"
    for _, row in cell.drop_duplicates("line").iterrows():
        text = axes.annotate(
            shortened(row["name"], 40),
            (0, row["line"] if is_wide else row["line"] - 0.28),
            xycoords=axes.get_yaxis_transform(),
            xytext=(-8 if is_wide else 0, 0),
            textcoords="offset points",
            ha="right" if is_wide else "left",
            va="center" if is_wide else "bottom",
            color=look.text_colours[row["series"]],
            fontsize=FONT_SIZE,
            annotation_clip=False,
        )
        text.set_gid(series_gid(row["series"]))
        text.set_in_layout(is_wide)
