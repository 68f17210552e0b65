"""The figure of test accuracy by epoch."""

from typing import NamedTuple

import pandas as pd

from bench.analysis.accuracies import (
    Panel,
    by_epoch,
    drawn_epochs,
    over_seeds,
    with_noise_in_panel,
)
from bench.analysis.differences import MARGIN_POINTS
from bench.analysis.noise import noise_text
from bench.config.methods import BASELINE
from bench.report.figures.curves import Curves, curves_view
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.panel_views import figure_of_panels
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of


class _BestAndLast(NamedTuple):
    """The mean accuracy of a series over the epochs: where it is highest, and after the last."""

    series: str
    is_bp: bool
    epoch: int
    best: float
    last: float

    @property
    def order(self) -> tuple[bool, str]:
        """BP comes first, then its other settings."""
        return not self.is_bp, self.series if self.is_bp else ""

    @property
    def fall(self) -> float:
        """Points from the best epoch to the last."""
        return self.best - self.last


def draw_by_epoch(rows: pd.DataFrame, look: Look) -> Figure | None:
    """Return test accuracy by epoch, one view per configuration and noise rate; None if all runs have one epoch.

    Args:
        rows: of :func:`bench.analysis.accuracies.accuracy_rows`.
        look: of the series of the report.
    """
    if rows.empty:
        return None
    rows = rows[rows["accuracy.by_epoch"].map(len) > 1]
    rows = with_noise_in_panel(rows.sort_values("noise_rate", ascending=False, kind="stable"))
    return figure_of_panels(
        "accuracy-by-epoch",
        "Test accuracy by epoch",
        "cell",
        "Mean accuracy over seeds, on clean test labels; bars reach from the worst seed to the best. Up to 12 epochs "
        "and the best one are drawn, on a logarithmic axis. A line that falls after its maximum has memorised wrong "
        "labels; a line that still rises at the end was not trained to convergence.",
        rows,
        lambda name, panel: _view(name, panel, look),
    )


def _view(name: str, panel: Panel, look: Look) -> View:
    points = over_seeds(by_epoch(panel.rows), "epoch")
    summaries = _best_and_last(points)
    drawn = set(drawn_epochs(int(points["epoch"].max())))
    ends = points.groupby("series")["epoch"].transform("max")
    best = points["series"].map({one.series: one.epoch for one in summaries})
    shown = points[points["epoch"].isin(drawn) | (points["epoch"] == ends) | (points["epoch"] == best)]
    curves = Curves(shown.reset_index(drop=True), "epoch", "epoch", "test accuracy, %", x_scale="log")
    finding = _finding(summaries, noise_text(*panel.rows.iloc[0][["noise_rate", "noise_kind"]]))
    return curves_view(name, panel.title, finding, curves, look, cell=panel.title)


def _best_and_last(points: pd.DataFrame) -> list[_BestAndLast]:
    """Return the summary of each series: BP first, then the most accurate at the end."""
    found = []
    for (series, method), own in points.groupby(["series", "method"], sort=False):
        best = own.sort_values("y", ascending=False, kind="stable").iloc[0]
        found.append(
            _BestAndLast(
                str(series), method == BASELINE, int(best["epoch"]), float(best["y"]), float(own["y"].iloc[-1])
            )
        )
    return sorted(found, key=lambda one: (one.order, -one.last))


def _finding(summaries: list[_BestAndLast], noise: str) -> str:
    """Return which series fall after their best epoch by more than the margin, and where the others end."""
    clauses = []
    for one in sorted(summaries, key=lambda one: (one.order, one.fall < MARGIN_POINTS)):
        name = shortened(one.series)
        if one.fall >= MARGIN_POINTS:
            clauses.append(f"{name} falls from {one.best:.1f} to {one.last:.1f} % after epoch {one.epoch}")
        else:
            clauses.append(f"{name} ends at {one.last:.1f} %")
    return finding_of([f"With {noise}, {clauses[0]}", *clauses[1:]])
