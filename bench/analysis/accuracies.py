"""Rows of accuracies as figures draw them: panels of one configuration, and means over seeds with their range."""

import pandas as pd

from bench.analysis.panels import distinct_titles
from bench.config.axes import axes

# The axes that the title of a panel names, and those that a figure of accuracies draws.
_IN_TITLE = {"network", "dataset", "optimizer", "depth", "modules", "seed", "noise_kind", "noise_rate"}
_EPOCHS_DRAWN = 12


def accuracy_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an accuracy, with a column ``panel``.

    Cells with more than one layer per module are separate series. Each kind of label noise has panels of its own, which
    include the clean runs.
    """
    rows = frame[frame["has_accuracy"]]
    if rows.empty:
        return rows.assign(panel="")
    panel = rows["network"] + " on " + rows["dataset"] + "\n" + rows["optimizer"] + ", depth " + rows["depth"].map(str)
    is_usual = rows["layers_per_module"] == 1
    modules = rows["modules"].map(lambda count: f"{count} module{'s' if count > 1 else ''}")
    rows = rows.assign(
        panel=distinct_titles(panel, rows, _other_axes()),
        series=rows["series"].where(is_usual, rows["series"] + ", " + modules),
    )
    kinds = [kind for kind in rows["noise_kind"].unique() if kind != "none"]
    if not kinds:
        return rows
    parts = []
    for kind in kinds:
        part = rows[rows["noise_kind"].isin(["none", kind])]
        parts.append(part.assign(panel=part["panel"] + ("\n" + kind if len(kinds) > 1 else f", {kind}")))
    return pd.concat(parts, ignore_index=True)


def _other_axes() -> list[str]:
    """Return the axes on which accuracies depend and that neither the title, the series nor the figure shows."""
    return [
        name
        for name, row in axes().items()
        if row.paired and row.series == "never" and "accuracy" in row.bears_on and name not in _IN_TITLE
    ]


def with_noise_in_panel(rows: pd.DataFrame) -> pd.DataFrame:
    """Append the noise rate to the title of each row's panel."""
    return rows.assign(panel=rows["panel"] + ["\nnoise " + f"{rate:g}" for rate in rows["noise_rate"]])


def by_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per row and drawn epoch, with columns ``epoch`` and ``y``, the test accuracy in percent."""
    points = rows["accuracy.by_epoch"].map(
        lambda shares: [(epoch, 100 * shares[epoch - 1]) for epoch in drawn_epochs(len(shares))]
    )
    rows = rows.assign(point=points).explode("point", ignore_index=True)
    return rows.assign(epoch=[epoch for epoch, _ in rows["point"]], y=[percent for _, percent in rows["point"]])


def drawn_epochs(epochs: int) -> list[int]:
    """Return up to 12 of the epochs 1 to ``epochs``, evenly spaced on a logarithmic axis, both ends included."""
    return sorted({round(epochs ** (step / (_EPOCHS_DRAWN - 1))) for step in range(_EPOCHS_DRAWN)})


def kl_by_module(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per row and module, with columns ``module`` and ``y``, the KL divergence in nats.

    Modules without a divergence are left out: those that a rule does not train, and those of a diverged run.
    """
    rows = rows.reset_index(drop=True).explode("accuracy.kl_by_module")
    rows = rows.assign(
        module=rows.groupby(level=0).cumcount() + 1, y=pd.to_numeric(rows["accuracy.kl_by_module"])
    ).reset_index(drop=True)
    return rows.dropna(subset=["y"])


def over_seeds(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the mean of ``y`` at each point of each line, with the range over seeds in columns ``low`` and ``high``.

    Args:
        rows: with the columns ``panel``, ``series``, ``method``, ``y`` and the one that ``x`` names.
        x: the column of the horizontal axis.
    """
    groups = rows.groupby(["panel", "series", "method", x], as_index=False, sort=False)
    return groups.agg(y=("y", "mean"), low=("y", "min"), high=("y", "max"))
