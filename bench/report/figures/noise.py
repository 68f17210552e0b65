"""The figure of test accuracy against label noise."""

import pandas as pd

from bench.analysis.accuracies import Panel, over_seeds
from bench.analysis.differences import EPOCHS, SHARES, Epoch
from bench.config.methods import BASELINE
from bench.report.figures.curves import Curves, curves_view
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.panel_views import figure_of_panels
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of


def draw_against_noise(rows: pd.DataFrame, look: Look) -> Figure | None:
    """Return test accuracy against the noise rate, one view per configuration and epoch; None with one rate only.

    Args:
        rows: of :func:`bench.analysis.accuracies.accuracy_rows`.
        look: of the series of the report.
    """
    parts = []
    for epoch in EPOCHS:
        own = rows[rows[SHARES[epoch]].notna()] if SHARES[epoch] in rows else rows.iloc[:0]
        own = own[own.groupby("panel")["noise_rate"].transform("nunique") > 1]
        parts.append(own.assign(y=100 * own[SHARES[epoch]].astype(float), epoch=epoch))
    every = pd.concat(parts, ignore_index=True)
    if every.empty:
        return None
    return figure_of_panels(
        "accuracy-against-noise",
        "Test accuracy against label noise",
        "configuration",
        "Mean accuracy over seeds, on clean test labels, after the last epoch and after the epoch that validation "
        "chooses, on labels with the noise of the training labels. Bars reach from the worst seed to the best. Methods "
        "with equal gradients (bp with and without recomputation; sid-published and sid-streamed) have equal lines, "
        "except with BatchNorm, whose running statistics a method that runs a module twice also updates twice a step.",
        every.assign(panel=every["panel"] + ", " + every["epoch"] + " epoch"),
        lambda name, panel: _view(name, panel, look),
    )


def _view(name: str, panel: Panel, look: Look) -> View:
    points = over_seeds(panel.rows.assign(percent=100 * panel.rows["noise_rate"]), "percent")
    curves = Curves(points, "percent", "label noise, %", "test accuracy, %")
    epoch: Epoch = panel.rows["epoch"].iloc[0]
    return curves_view(name, panel.title, _finding(points, epoch), curves, look, epoch=epoch, cell=panel.title)


def _finding(points: pd.DataFrame, epoch: Epoch) -> str:
    """Return the accuracy at the lowest and at the highest rate: BP first, then the most accurate."""
    low, high = points["percent"].min(), points["percent"].max()
    clauses = []
    for (name, method), own in points.groupby(["series", "method"], sort=False):
        first, last, series = own["y"].iloc[0], own["y"].iloc[-1], str(name)
        rates = (own["percent"].iloc[0], own["percent"].iloc[-1])
        at = "" if rates == (low, high) else f" (from {rates[0]:g} to {rates[1]:g} %)"
        text = f"from {first:.1f} to {last:.1f} %{at}"
        is_bp = method == BASELINE
        clauses.append(
            (
                (not is_bp, series if is_bp else "", -last),
                (shortened(series), "falls" if last < first else "rises", text),
            )
        )
    texts = [text for _, text in sorted(clauses)]
    verb = texts[0][1]
    rest = [f"{series} {'' if own == verb else f'{own} '}{text}" for series, own, text in texts[1:]]
    start = f"From {low:g} to {high:g} % label noise, {texts[0][0]} {verb} {texts[0][2]} at the {epoch} epoch"
    return finding_of([start, *rest])
