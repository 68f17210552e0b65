"""Rows of accuracies as figures draw them: panels of one configuration, and means over seeds with their range."""

from typing import NamedTuple

import pandas as pd

from bench.analysis.noise import noise_text
from bench.analysis.panels import distinct_titles, most_views
from bench.config.axes import axes

# The axes that the title of a panel names, and those that a figure of accuracies draws.
_IN_TITLE = {"network", "dataset", "optimizer", "depth", "modules", "seed", "noise_kind", "noise_rate", "noise_source"}
_OF_RUN = ["series", "method", "seed", "id"]
_EPOCHS_DRAWN = 12
MOST_PANELS = 12  # in the main figure
FEW_PANELS = 6  # in any other: each takes time to draw


class Panel(NamedTuple):
    """The rows of one drawing.

    Attributes:
        title: what they have in common, on one line.
        rows: at least one.
    """

    title: str
    rows: pd.DataFrame


def accuracy_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have an accuracy, one per seed, with a column ``panel``.

    Cells with more than one layer per module are separate series. Each kind of label noise has panels of its own, which
    include the clean runs.
    """
    rows = frame[frame["has_accuracy"]].drop_duplicates(["group", "series", "seed"])
    if rows.empty:
        return rows.assign(panel="")
    is_usual = rows["layers_per_module"] == 1
    modules = rows["modules"].map(lambda count: f"{count} module{'s' if count > 1 else ''}")
    rows = rows.assign(
        panel=configuration_titles(rows),
        series=rows["series"].where(is_usual, rows["series"] + ", " + modules),
    )
    kinds = [kind for kind in rows["noise_kind"].unique() if kind != "none"]
    if not kinds:
        return rows
    parts = []
    for kind in kinds:
        part = rows[rows["noise_kind"].isin(["none", kind])]
        parts.append(part.assign(panel=part["panel"] + f", {kind}"))
    return pd.concat(parts, ignore_index=True)


def configuration_titles(rows: pd.DataFrame) -> pd.Series:
    """Return what each row trains, apart from method, modules, seed and noise; different ones read differently."""
    titles = rows["network"] + " on " + rows["dataset"] + ", " + rows["optimizer"] + ", depth " + rows["depth"].map(str)
    return distinct_titles(titles, rows, _other_axes()).str.replace("\n", ", ")


def _other_axes() -> list[str]:
    """Return the axes on which accuracies depend and that neither the title, the series nor the figure shows."""
    return [
        name
        for name, row in axes().items()
        if row.paired and row.series == "never" and "accuracy" in row.bears_on and name not in _IN_TITLE
    ]


def with_noise_in_panel(rows: pd.DataFrame) -> pd.DataFrame:
    """Append the noise rate to the title of each row's panel."""
    return rows.assign(panel=with_noise(rows["panel"], rows))


def with_noise(titles: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """Return ``titles`` of ``rows`` with the label noise of each row after it."""
    noise = zip(titles, rows["noise_rate"], rows["noise_kind"], strict=True)
    texts = [f"{title}, {noise_text(rate, kind)}" for title, rate, kind in noise]
    return pd.Series(texts, index=rows.index, dtype=titles.dtype)  # also of no rows, which have no type of their own


def largest_panels(rows: pd.DataFrame, most: int = MOST_PANELS) -> tuple[list[Panel], int]:
    """Return up to ``most`` panels of ``rows``, and how many were left out.

    Panels with the most seeds come first; of equals, those with the most series, then in order of their first rows.

    Args:
        rows: with the columns ``panel``, ``seed`` and ``series``.
        most: number of panels; of many rows :func:`bench.analysis.panels.most_views`.
    """
    parts = [Panel(str(title), part) for title, part in rows.groupby("panel", sort=False)]
    parts.sort(key=lambda panel: (-panel.rows["seed"].nunique(), -panel.rows["series"].nunique()))
    most = most_views(rows, most)
    return parts[:most], max(0, len(parts) - most)


def by_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """Return series, method, seed and id of each row and epoch, with ``epoch`` and ``y``, test accuracy in percent."""
    rows = rows[[*_OF_RUN, "accuracy.by_epoch"]].reset_index(drop=True).explode("accuracy.by_epoch")
    epochs = rows.groupby(level=0).cumcount() + 1
    return rows.assign(epoch=epochs, y=100 * rows["accuracy.by_epoch"].astype(float)).reset_index(drop=True)


def drawn_epochs(epochs: int) -> list[int]:
    """Return up to 12 of the epochs 1 to ``epochs``, evenly spaced on a logarithmic axis, both ends included."""
    return sorted({round(epochs ** (step / (_EPOCHS_DRAWN - 1))) for step in range(_EPOCHS_DRAWN)})


def by_module(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return series, method, seed and id of each row and module, with ``module`` and ``y``, the values of ``column``.

    Modules without a value are left out: those that a rule does not train, and those of a diverged run.

    Args:
        rows: of which ``column`` holds a list with a value per module, or None.
        column: such as ``accuracy.kl_by_module``.
    """
    rows = rows.loc[rows[column].notna(), [*_OF_RUN, column]].reset_index(drop=True).explode(column)
    rows = rows.assign(module=rows.groupby(level=0).cumcount() + 1, y=pd.to_numeric(rows[column]))
    return rows.dropna(subset=["y"]).reset_index(drop=True)


def over_seeds(rows: pd.DataFrame, x: str) -> pd.DataFrame:
    """Return the mean of ``y`` at each point of each series, with the range over seeds.

    Columns are ``series``, ``method``, the one that ``x`` names, ``y``, ``low``, ``high``, ``seeds``, their number, and
    ``id``, that of the record with the least seed.

    Args:
        rows: with the columns ``series``, ``method``, ``seed``, ``id``, ``y`` and the one that ``x`` names.
        x: the column of the horizontal axis.
    """
    rows = rows.reset_index(drop=True)
    groups = rows.groupby(["series", "method", x], as_index=False, sort=False)
    means = groups.agg(
        y=("y", "mean"), low=("y", "min"), high=("y", "max"), seeds=("seed", "nunique"), least=("seed", "idxmin")
    )
    means["id"] = rows["id"].reindex(means.pop("least")).to_numpy()
    return means.sort_values(x, kind="stable").reset_index(drop=True)
