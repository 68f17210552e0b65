"""The figure of differences in test accuracy from BP, one row per method."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.accuracies import configuration_titles, largest_panels, with_noise
from bench.analysis.differences import EPOCHS, MARGIN_POINTS, SHARES, Difference, Epoch
from bench.analysis.panels import distinct_titles
from bench.analysis.series import ordered_series
from bench.analysis.trained import Trained
from bench.analysis.words import counted
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.dots import draw_dots
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.lanes import Lane, make_lanes, write_lane
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.style import GREY, Look
from bench.report.figures.words import finding_of, joined, left_out_text, view_names
from bench.report.tables.text import ABSENT, basis_text, interval_of_points, mean_percent, points_text

_SHADE = "#ededed"
_OFFSETS: dict[Epoch, float] = {"last": -0.13, "chosen": 0.2}
_DOT = 3.0  # points
_DOT_OFFSET = 0.1
_LONGEST_REACH = 2.0  # intervals are cut where they reach further than so many spans of the points


class _Row(NamedTuple):
    """A mark: the difference of a method at an epoch; ``record`` is the id of the record with the least seed."""

    series: str
    lane: int
    epoch: Epoch
    difference: Difference
    seeds: Sequence[float]
    accuracy: str
    record: str


def draw_forest(trained: Sequence[Trained], look: Look) -> Figure | None:
    """Return the differences of ``trained`` methods from BP, one view per cell; None if there are none.

    Args:
        trained: all that are judged as one family.
        look: of the series of the report.
    """
    measured = [method for method in trained if _measured(method)]
    if not measured:
        return None
    panels, left_out = largest_panels(_with_panels(measured))
    views = [
        _view(name, panel.title, [measured[at] for at in panel.rows["at"].unique()], look)
        for name, panel in zip(view_names([panel.title for panel in panels]), panels, strict=True)
    ]
    return Figure(
        "accuracy-difference",
        "Test accuracy minus BP's",
        "cell",
        "Differences are paired by seed and test image. Filled marks are after the last epoch, open ones after the "
        "epoch that validation chooses, on labels with the noise of the training labels. A line is the interval over "
        f"seeds and images, corrected for all {_family(measured)} comparisons of the table below; a small dot is one "
        f"seed. Differences in the shaded band, up to {MARGIN_POINTS:g} points, do not matter: a method whose interval "
        "is within it is equivalent to BP. Plain BP, of 1 module, is compared with BP on all modules."
        + left_out_text(left_out, "cell"),
        tuple(views),
    )


def _measured(method: Trained) -> list[Epoch]:
    return [epoch for epoch in EPOCHS if epoch in method.differences and method.differences[epoch].estimate is not None]


def _family(trained: Sequence[Trained]) -> int:
    judged = [difference.judged for method in trained for difference in method.differences.values()]
    return max((one.family for one in judged if one is not None), default=0)


def _with_panels(trained: Sequence[Trained]) -> pd.DataFrame:
    """Return the runs of ``trained`` with their number in it as ``at``, and the title of their cell as ``panel``.

    The cell is that of the runs of BP, so plain BP is with the methods of the cell that it is compared with.
    """
    rows = pd.concat([method.runs.assign(at=at, against=method.group) for at, method in enumerate(trained)])
    cells = rows.sort_values("modules", ascending=False, kind="stable").drop_duplicates("against").set_index("against")
    titles = with_noise(configuration_titles(cells), cells)
    titles = distinct_titles(titles, cells, ["noise_kind", "modules", "cut"]).str.replace("\n", ", ")
    return rows.assign(panel=rows["against"].map(titles))


def _view(name: str, title: str, trained: Sequence[Trained], look: Look) -> View:
    names = {_name(method): method for method in trained}
    order = ordered_series(pd.concat([method.runs.assign(series=_name(method)) for method in trained]))
    rows = [
        _Row(
            series,
            lane,
            epoch,
            names[series].differences[epoch],
            tuple(names[series].by_seed[epoch].values()),
            mean_percent(names[series].runs[SHARES[epoch]]),
            str(names[series].runs.sort_values("seed")["id"].iloc[0]),
        )
        for lane, series in enumerate(order)
        for epoch in _measured(names[series])
    ]
    looks = {series: names[series].first["series"] for series in order}
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, rows, order, looks, look))
    return View(name, title, _finding(rows), wide, narrow, _data(rows, title), tuple(row.record for row in rows))


def _name(method: Trained) -> str:
    """Return the series of a method, and the number of modules where it is plain BP."""
    first = method.first
    return f"{first['series']}, 1 module" if first["is_baseline"] else str(first["series"])


def _data(rows: Sequence[_Row], title: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "method": row.series,
                "epoch": row.epoch,
                "minus BP, points": points_text(row.difference),
                "interval": interval_of_points(row.difference) or "no interval",
                "verdict": row.difference.verdict or ABSENT,
                "over": basis_text(row.difference),
                "test accuracy, %": row.accuracy,
                "cell": title,
            }
            for row in rows
        ]
    )


def _finding(rows: Sequence[_Row]) -> str:
    """Return the verdicts at the last epoch, or at the chosen one where that is all there is."""
    epoch = "last" if any(row.epoch == "last" for row in rows) else "chosen"
    shown = [row for row in rows if row.epoch == epoch]
    seeds = {row.difference.estimate.seeds for row in shown if row.difference.estimate is not None}
    equal = [row for row in shown if row.difference.verdict == "equivalent"]
    decided = [row for row in shown if row.difference.verdict in ("better", "worse")]
    decided.sort(key=lambda row: -abs(_points(row)))
    clauses = []
    if equal:
        names = joined([shortened(row.series) for row in equal])
        clauses.append(f"{names} {'is' if len(equal) == 1 else 'are'} within {MARGIN_POINTS:g} points of BP")
    clauses += [
        f"{shortened(row.series)} is {abs(_points(row)):.1f} points {row.difference.verdict}"
        + (" than BP" if not equal and at == 0 else "")
        for at, row in enumerate(decided)
    ]
    for verdict in ("undecided", None):
        rest = [row for row in shown if row.difference.verdict == verdict]
        if rest:
            names = joined([f"{shortened(row.series)} ({points_text(row.difference)})" for row in rest])
            clauses.append(f"{verdict or 'without a verdict'}: {names}")
    over = f" ({', '.join(counted(count, 'seed') for count in sorted(filter(None, seeds)))})" if len(seeds) == 1 else ""
    return finding_of([f"{clauses[0]}{over}", *clauses[1:]])


def _points(row: _Row) -> float:
    return 0.0 if row.difference.estimate is None else 100 * row.difference.estimate.value


def _draw(
    canvas: Canvas, rows: Sequence[_Row], order: Sequence[str], looks: dict[str, str], look: Look
) -> MatplotlibFigure:
    figure, axes = make_lanes(canvas, len(order))
    axes.axvspan(-MARGIN_POINTS, MARGIN_POINTS, color=_SHADE, linewidth=0, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    low, high = _limits(rows)
    for number, row in enumerate(rows):
        _draw_row(axes, number, row, look.colours[looks[row.series]], look.markers[looks[row.series]])
    axes.set_xlim(low, high)
    axes.set_xlabel("points of test accuracy; right of 0, more than BP")
    for lane, series in enumerate(order):
        own = [row for row in rows if row.series == series]
        words = [f"{points_text(row.difference)} {row.difference.verdict or 'no verdict'}" for row in own]
        notes = [(_OFFSETS[row.epoch], f"{row.epoch}: {text}") for row, text in zip(own, words, strict=True)]
        colour = look.text_colours[looks[series]]
        write_lane(canvas, axes, Lane(lane, series, colour, notes, f"{shortened(series, 26)}: {words[0]}"))
    return figure


def _draw_row(axes: Axes, number: int, row: _Row, colour: str, marker: str) -> None:
    at = row.lane + _OFFSETS[row.epoch]
    interval = row.difference.interval
    if interval is not None:
        (line,) = axes.plot([100 * interval.low, 100 * interval.high], [at, at], color=colour, linewidth=1.6, zorder=2)
        line.set_gid(series_gid(row.series))
    if len(row.seeds) > 1:
        heights = [at + _DOT_OFFSET] * len(row.seeds)
        draw_dots(axes, row.seeds, heights, colour, _DOT, series_gid(row.series), alpha=0.6)
    face = colour if row.epoch == "last" else "white"
    (mark,) = axes.plot([_points(row)], [at], marker=marker, markersize=7.5, linestyle="none", zorder=4, clip_on=False)
    mark.set(color=colour, markerfacecolor=face, gid=mark_gid(number, row.series))


def _limits(rows: Sequence[_Row]) -> tuple[float, float]:
    """Return the ends of the axis: all points and dots are on it; intervals may be cut."""
    points = [
        MARGIN_POINTS,
        -MARGIN_POINTS,
        *(_points(row) for row in rows),
        *(dot for row in rows for dot in row.seeds),
    ]
    ends = [100 * end for row in rows if row.difference.interval is not None for end in row.difference.interval]
    reach = _LONGEST_REACH * (max(points) - min(points))
    low = max(min(points + ends), min(points) - reach)
    high = min(max(points + ends), max(points) + reach)
    room = 0.04 * (high - low)
    return low - room, high + room
