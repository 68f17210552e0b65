"""The figure of what trained networks predict for training images whose label is wrong."""

from typing import NamedTuple

import pandas as pd
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.accuracies import Panel, with_noise_in_panel
from bench.analysis.differences import EPOCHS, Epoch
from bench.analysis.series import ordered_series
from bench.analysis.words import counted
from bench.config.methods import BASELINE
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import FONT_SIZE, shortened
from bench.report.figures.lanes import Lane, make_lanes, write_lane
from bench.report.figures.marks import mark_gid
from bench.report.figures.panel_views import figure_of_panels
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of

_COLUMNS: dict[Epoch, str] = {
    "last": "accuracy.wrong_labels_last",
    "chosen": "accuracy.wrong_labels_at_best_validation",
}
# Field, words, colour of the bar and of the words.
_SHARES = (
    ("learned_share", "wrong label", "#d55e00", "#b34f00"),
    ("corrected_share", "true label", "#009e73", "#007a59"),
    ("other_share", "another", "#b5b5b5", "#6b6b6b"),
)
_OFFSETS: dict[Epoch, float] = {"last": -0.09, "chosen": 0.21}
_HALF = 0.12  # of a lane: half of the height of a bar


class _Row(NamedTuple):
    """A bar: mean shares over seeds, in per cent; ``record`` is the id of the record with the least seed."""

    series: str
    is_bp: bool
    lane: int
    epoch: Epoch
    shares: tuple[float, float, float]
    seeds: int
    record: str


def draw_wrong_labels(rows: pd.DataFrame, look: Look) -> Figure | None:
    """Return what was learned of wrong labels, one view per cell; None if no record says.

    Args:
        rows: of :func:`bench.analysis.accuracies.accuracy_rows`.
        look: of the series of the report.
    """
    column = f"{_COLUMNS['last']}.images"
    if rows.empty or rows[column].isna().all():
        return None
    return figure_of_panels(
        "wrong-labels",
        "What was learned of wrong labels",
        "cell",
        "For the training images whose label is wrong, a trained network predicts that label (it has memorised it), "
        "the true label (it has corrected it) or another one. The upper bar is after the last epoch, the lower one "
        "after the epoch that validation chooses; means over seeds.",
        with_noise_in_panel(rows[rows[column].notna()]),
        lambda name, panel: _view(name, panel, look),
    )


def _view(name: str, panel: Panel, look: Look) -> View:
    order = ordered_series(panel.rows)
    rows = [
        row
        for lane, series in enumerate(order)
        for epoch in EPOCHS
        if (row := _row(panel.rows[panel.rows["series"] == series], series, lane, epoch)) is not None
    ]
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, rows, order, look))
    data = pd.DataFrame(
        [
            {"method": row.series, "epoch": row.epoch}
            | {f"{words}, %": f"{share:.1f}" for (_, words, *_), share in zip(_SHARES, row.shares, strict=True)}
            | {"over": counted(row.seeds, "seed"), "cell": panel.title}
            for row in rows
        ]
    )
    return View(name, panel.title, _finding(rows), wide, narrow, data, tuple(row.record for row in rows))


def _row(runs: pd.DataFrame, series: str, lane: int, epoch: Epoch) -> _Row | None:
    held = runs[runs[f"{_COLUMNS[epoch]}.images"].notna()]
    if held.empty:
        return None
    learned, corrected, other = (100 * float(held[f"{_COLUMNS[epoch]}.{field}"].mean()) for field, *_ in _SHARES)
    return _Row(
        series,
        held["method"].iloc[0] == BASELINE,
        lane,
        epoch,
        (learned, corrected, other),
        held["seed"].nunique(),
        str(held.sort_values("seed")["id"].iloc[0]),
    )


def _finding(rows: list[_Row]) -> str:
    """Return how much of the wrong labels each method has learned after the last epoch; BP first, then the least."""
    last = sorted(
        (row for row in rows if row.epoch == "last"),
        key=lambda row: (not row.is_bp, row.series if row.is_bp else "", row.shares[0]),
    )
    clauses = [f"{shortened(row.series)} {row.shares[0]:.1f} %" for row in last]
    return finding_of([f"Share of wrong labels learned by the last epoch: {clauses[0]}", *clauses[1:]])


def _draw(canvas: Canvas, rows: list[_Row], order: list[str], look: Look) -> MatplotlibFigure:
    figure, axes = make_lanes(canvas, len(order))
    for number, row in enumerate(rows):
        middle, left, boxes = row.lane + _OFFSETS[row.epoch], 0.0, []
        for share in row.shares:
            low, high = middle - _HALF, middle + _HALF
            boxes.append([(left, low), (left + share, low), (left + share, high), (left, high)])
            left += share
        bar = PolyCollection(boxes, facecolors=[colour for _, _, colour, _ in _SHARES], linewidths=0)
        bar.set_gid(mark_gid(number, row.series))
        axes.add_collection(bar, autolim=False)
    for lane, series in enumerate(order):
        own = [row for row in rows if row.series == series]
        notes = [(_OFFSETS[row.epoch], f"{row.epoch}: {row.shares[0]:.0f} % learned") for row in own]
        heading = f"{shortened(series, 26)}: {own[0].shares[0]:.0f} % learned" if own else shortened(series)
        write_lane(canvas, axes, Lane(lane, series, look.text_colours[series], notes, heading))
    axes.set_xlim(0, 100)
    axes.set_xlabel("wrongly labelled training images, %")
    for place, side, (_, words, _, colour) in zip((0, 50, 100), ("left", "center", "right"), _SHARES, strict=True):
        axes.annotate(
            words, (place / 100, 1), (0, 2), xycoords="axes fraction", textcoords="offset points", ha=side, va="bottom",
            color=colour, fontsize=FONT_SIZE,
        )  # fmt: skip
    return figure
