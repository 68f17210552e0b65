"""The figures of test accuracy against label noise and epoch, and of the KL divergence by module."""

import pandas as pd

from bench.analysis.accuracies import accuracy_rows, by_epoch, kl_by_module, over_seeds, with_noise_in_panel
from bench.analysis.differences import EPOCHS, SHARES, Epoch
from bench.report.figures.describe import data_table, ends_of_lines
from bench.report.figures.panels import lines_in_panels
from bench.report.figures.style import Figure, figure_svg

_EPOCH_IN_WORDS: dict[Epoch, str] = {
    "last": "the last epoch",
    "chosen": "the epoch that validation chooses, on labels with the noise of the training labels",
}
_SEEDS = "Lines are means over seeds; bars extend from the worst seed to the best."


def draw_accuracies(frame: pd.DataFrame) -> list[Figure]:
    """Return the figures of accuracy that ``frame`` has data for."""
    rows = accuracy_rows(frame)
    if rows.empty:
        return []
    figures = (*(_against_noise(rows, epoch) for epoch in EPOCHS), _by_epoch(rows), _kl_by_module(rows))
    return [figure for figure in figures if figure is not None]


def _against_noise(rows: pd.DataFrame, epoch: Epoch) -> Figure | None:
    rows = rows[rows[SHARES[epoch]].notna()]
    rows = rows[rows.groupby("panel")["noise_rate"].transform("nunique") > 1]
    if rows.empty:
        return None
    rows = rows.assign(y=100 * rows[SHARES[epoch]].astype(float))
    y_label = f"test accuracy, {epoch} epoch, %"
    drawn = lines_in_panels(over_seeds(rows, "noise_rate"), "noise_rate", y_label, log_x=False)
    columns = {"noise_kind": "noise", "noise_rate": "noise rate", "seed": "seed", "y": "test accuracy, %"}
    return Figure(
        "accuracy-against-noise" if epoch == "last" else "chosen-accuracy-against-noise",
        f"Test accuracy against label noise, {epoch} epoch",
        f"Accuracy after {_EPOCH_IN_WORDS[epoch]}, on clean test labels. {_SEEDS} Lines of methods with equal "
        "gradients (bp with and without recomputation; sid-published and sid-streamed) coincide, except with "
        "BatchNorm, whose running statistics a method that runs a module twice also updates twice per step.",
        figure_svg(drawn),
        data_table(rows, columns),
        ends_of_lines(rows, "noise_rate", "mean accuracy", lambda value: f"{value:.1f} %"),
    )


def _by_epoch(rows: pd.DataFrame) -> Figure | None:
    rows = rows[rows["accuracy.by_epoch"].map(len) > 1]
    if rows.empty:
        return None
    rows = rows[rows["noise_rate"] == rows.groupby("panel")["noise_rate"].transform("max")]
    rows = by_epoch(with_noise_in_panel(rows))
    drawn = lines_in_panels(over_seeds(rows, "epoch"), "epoch", "test accuracy, %")
    means = rows.groupby(["panel", "series", "method", "noise_rate", "epoch"], as_index=False, sort=False)[["y"]].mean()
    columns = {"noise_rate": "noise rate", "epoch": "epoch", "y": "mean test accuracy, %"}
    return Figure(
        "accuracy-by-epoch",
        "Test accuracy by epoch",
        "Accuracy on clean test labels, at the highest noise rate of each configuration. Up to 12 epochs are drawn, on "
        "a logarithmic axis. A line that falls after its maximum has memorised wrong labels; a line that still rises "
        f"at the end was not trained to convergence. {_SEEDS}",
        figure_svg(drawn),
        data_table(means, columns),
        ends_of_lines(rows, "epoch", "mean accuracy", lambda value: f"{value:.1f} %"),
    )


def _kl_by_module(rows: pd.DataFrame) -> Figure | None:
    rows = rows[rows["modules"] > 1]
    extremes = {rows["noise_rate"].min(), rows["noise_rate"].max()}
    rows = kl_by_module(with_noise_in_panel(rows[rows["noise_rate"].isin(extremes)]))
    if rows.empty:
        return None
    drawn = lines_in_panels(over_seeds(rows, "module"), "module", "KL(label || belief), nats", log_x=False, log_y=True)
    columns = {"noise_rate": "noise rate", "seed": "seed", "module": "module", "y": "KL, nats"}
    return Figure(
        "kl-by-module",
        "Divergence from the label by module",
        "KL(p_y || p_i) on the test set after the last epoch. SID's theory predicts that it falls from module to "
        f"module. BP trains only the belief of the last module. {_SEEDS} The vertical axis is logarithmic.",
        figure_svg(drawn),
        data_table(rows, columns),
        ends_of_lines(rows, "module", "mean KL", lambda value: f"{value:.2f} nats"),
    )
