"""The figure of BP's curve against SID's: bytes against time of their ways to run the step, a view per cell."""

from itertools import pairwise

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.transforms import Bbox

from bench.analysis.headline import most_compared_cells
from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.panels import cell_titles, most_views
from bench.analysis.rivals import FAMILIES, NAMES, Family, Point, clauses, curve, family_of
from bench.analysis.statistics.estimate import Interval
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.cost_rows import in_order_of_series, with_both_ratios
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import Label, label_points
from bench.report.figures.points import draw_interval, draw_mark
from bench.report.figures.style import GREY, Look
from bench.report.figures.words import finding_of, left_out_text, one_line, tick_percent, view_names
from bench.report.tables.text import processes_text

MOST_VIEWS = 8
_FEWEST: dict[Family, int] = {"bp": 3, "sid": 2}  # points of a curve
_COLOURS: dict[Family, str] = {"bp": "#1c1c1c", "sid": "#0072b2"}  # as BP and streamed SID
_STAR = "*"
_BOXES = 24  # along each piece of a line, which labels keep off
_CAPTION = (
    "Points are ways to run the same step, over BP's bytes and time; both axes are logarithmic, and bars are 95 % "
    "intervals of the time. A line joins those of one family that no other of it beats in both: dark BP's, blue SID's. "
    "A family is ahead at a budget of bytes if its fastest way that fits takes less time than the other's, by "
    "intervals over several processes that do not overlap; these are not corrected for their number. Open marks have a "
    f"noisy time and are on no line. {_STAR}: compiled, so the allocator counted its bytes, and those of BP that they "
    "are divided by."
)


def rivals_figure(frame: pd.DataFrame, look: Look) -> Figure | None:
    """Return the figure; None if no cell has three of BP's ways to run the step and two of SID's.

    Args:
        frame: the measured rows of the report.
        look: of its series.
    """
    rows = frame[frame["has_memory"] & frame["has_latency"] & (frame["ranks"] == 1)]
    rows = with_both_ratios(rows)
    rows = rows.assign(family=rows["method"].map(family_of))
    rows = rows[rows["family"].notna()]
    if rows.empty:
        return None
    rows = rows.assign(title=[one_line(title) for title in cell_titles(rows)])
    cells = [cell for cell in most_compared_cells(rows) if _has_curves(cell)]
    if not cells:
        return None
    shown = [in_order_of_series(cell) for cell in cells[: most_views(frame, MOST_VIEWS)]]
    titles = [cell["title"].iloc[0] for cell in shown]
    return Figure(
        "rivals",
        "BP's ways to save memory against SID's",
        "cell",
        _CAPTION + left_out_text(len(cells) - len(shown), "cell"),
        tuple(
            _view(name, title, cell, look) for name, title, cell in zip(view_names(titles), titles, shown, strict=True)
        ),
    )


def _has_curves(cell: pd.DataFrame) -> bool:
    counts = cell["family"].value_counts()
    return all(counts.get(family, 0) >= fewest for family, fewest in _FEWEST.items())


def _points(cell: pd.DataFrame) -> list[Point]:
    """Return the ways whose time can be relied on."""
    quiet = cell[cell["latency.noisy_because"].isna()]
    return [
        Point(
            row["series"],
            row["family"],
            row["memory.activation_ratio"],
            row["latency.ratio_to_bp"],
            Interval(*row["latency.ratio_ci95"]),
            len(row["latency.blocks_by_process"]) > 1,
        )
        for row in quiet.to_dict("records")
    ]


def _view(name: str, title: str, cell: pd.DataFrame, look: Look) -> View:
    points = _points(cell)
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, cell, points, look))
    return View(name, title, _finding(points), wide, narrow, _data(cell, points, title), tuple(cell["id"]))


def _finding(points: list[Point]) -> str:
    if not points:
        return "The times of this cell are noisy and decide nothing."
    text = finding_of(clauses(points), "range")
    return text[0].upper() + text[1:]


def _data(cell: pd.DataFrame, points: list[Point], title: str) -> pd.DataFrame:
    low, high = zip(*cell["latency.ratio_ci95"], strict=True)
    on_curve = {point.name for family in FAMILIES for point in curve(points, family)}
    return pd.DataFrame(
        {
            "method": cell["series"],
            "family": cell["family"].map(NAMES),
            "on its curve": ["yes" if series in on_curve else "no" for series in cell["series"]],
            "activations / BP": cell["memory.activation_ratio"].map("{:.4g}".format),
            "counted by": cell["memory.instrument"],
            "time / BP": cell["latency.ratio_to_bp"].map("{:.4g}".format),
            "95 % from": [f"{end:.4g}" for end in low],
            "95 % to": [f"{end:.4g}" for end in high],
            "over": cell["latency.blocks_by_process"].map(len).map(processes_text),
            "cell": title,
        }
    )


def _draw(canvas: Canvas, cell: pd.DataFrame, points: list[Point], look: Look) -> MatplotlibFigure:
    figure = canvas.figure(4.8 if canvas.kind == "wide" else 3.8)
    axes = figure.subplots()
    times, sizes = cell["latency.ratio_to_bp"], cell["memory.activation_ratio"]
    ends = [end for interval in cell["latency.ratio_ci95"] for end in interval if end > 0]
    every_time = [1.0, *ends, *times]
    use_log(axes.xaxis, min(every_time), max(every_time), most=7 if canvas.kind == "wide" else 5)
    use_log(axes.yaxis, min(1.0, *sizes), max(1.0, *sizes), tick_percent, room=0.14)
    axes.set_xlabel("step time / BP's")
    axes.set_ylabel("peak activation bytes / BP's")
    for line in (axes.axhline, axes.axvline):
        line(1, color=GREY, linewidth=0.8, zorder=1)
    for family in FAMILIES:
        _draw_curve(axes, curve(points, family), _COLOURS[family])
    covered = [box for family in FAMILIES for box in _boxes_along(curve(points, family))]
    for index, row in enumerate(cell.to_dict("records")):
        series, size = row["series"], row["memory.activation_ratio"]
        low, high = (max(end, axes.get_xlim()[0]) for end in row["latency.ratio_ci95"])
        draw_interval(axes, series, (low, high), (size, size), look)
        is_noisy = bool(pd.notna(row["latency.noisy_because"]))
        draw_mark(axes, index, series, row["latency.ratio_to_bp"], size, look, is_open=is_noisy)
        covered.append(Bbox.from_extents(low, 0.99 * size, high, 1.01 * size))
    label_points(axes, _labels(cell, look), covered)
    return figure


def _draw_curve(axes: Axes, points: list[Point], colour: str) -> None:
    axes.plot([point.time for point in points], [point.size for point in points], color=colour, linewidth=1.4, zorder=2)


def _boxes_along(points: list[Point]) -> list[Bbox]:
    """Return small boxes in data coordinates that cover the line, which is straight on logarithmic axes."""
    found = []
    for first, second in pairwise(points):
        for step in range(1, _BOXES):
            share = step / _BOXES
            x = first.time ** (1 - share) * second.time**share
            y = first.size ** (1 - share) * second.size**share
            found.append(Bbox.from_extents(0.999 * x, 0.99 * y, 1.001 * x, 1.01 * y))
    return found


def _labels(cell: pd.DataFrame, look: Look) -> list[Label]:
    return [
        Label(
            row["series"],
            f"{row['series']}{_STAR if row['memory.instrument'] == BY_ALLOCATOR else ''}",
            (row["latency.ratio_to_bp"], row["memory.activation_ratio"]),
            look.text_colours[row["series"]],
        )
        for row in cell.to_dict("records")
    ]
