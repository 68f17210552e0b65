"""The cells that represent a network in the summary: its largest, the one with the most accuracies, and baselines."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.analysis.noise import noise_name, strongest_kind
from bench.analysis.panels import data_text
from bench.analysis.series import ordered_series
from bench.config.axes import axes

# Sizes in order of importance, then axes that break ties: even cuts, float32 and cells that are not compiled win.
_COST_KEYS = [
    "depth",
    "batch_size",
    "modules",
    "hidden",
    "width",
    "pixels",
    "network",
    "dataset",
    "cut",
    "precision",
    "compile",
]
_ACCURACY_KEYS = ["records", "dataset", "depth", "modules", "width", "hidden", "batch_size", "pixels", "usual_head"]


@dataclass(frozen=True)
class SummaryCell:
    """One network in one configuration.

    Attributes:
        costs: the records that hold its memory or latency, one per training rule; possibly empty.
        accuracies: the records that hold its accuracy, one per training rule, seed and noise; possibly empty.
        baseline: BP's accuracies that those are compared with: on the same cell; for plain BP, which trains one module,
            those of BP on the cell with all modules, where it was measured.
    """

    costs: pd.DataFrame
    accuracies: pd.DataFrame
    baseline: pd.DataFrame

    @property
    def first(self) -> pd.Series:
        """A row of the cell."""
        return (self.accuracies if self.costs.empty else self.costs).iloc[0]

    @property
    def text(self) -> str:
        """The axes of the cell, apart from the network."""
        training = "" if self.accuracies.empty else str(self.accuracies.iloc[0]["training_text"])
        return ", ".join(filter(None, [data_text(self.first), str(self.first["step_text"]), training]))

    @property
    def series(self) -> list[str]:
        """The series of its records in order."""
        return ordered_series(pd.concat([rows[["series", "method"]] for rows in (self.costs, self.accuracies)]))

    @cached_property
    def accuracies_of_one_kind(self) -> pd.DataFrame:
        """The accuracies without noise, and those with the kind of noise that has the highest rate."""
        if self.accuracies.empty:
            return self.accuracies
        return self.accuracies[self.accuracies["noise_kind"].isin(["none", strongest_kind(self.accuracies)])]


def noise_rates(cells: Iterable[SummaryCell]) -> list[float]:
    """Return the rates of label noise at which accuracies are told: the lowest and the highest of each cell."""
    rates = (cell.accuracies_of_one_kind["noise_rate"] for cell in cells)
    return sorted({float(end) for own in rates if not own.empty for end in (own.min(), own.max())})


def noise_names(cells: Iterable[SummaryCell]) -> dict[float, str]:
    """Return each of :func:`noise_rates` with its name: ``clean``, ``noise 0.4``, ``human noise``."""
    cells = list(cells)
    kinds: dict[float, set[str]] = {rate: set() for rate in noise_rates(cells)}
    for cell in cells:
        rows = cell.accuracies_of_one_kind
        for rate, kind in zip(rows["noise_rate"], rows["noise_kind"], strict=True):
            if rate in kinds:
                kinds[rate].add(kind)
    return {rate: noise_name(rate, own) for rate, own in kinds.items()}


def headline_costs(part: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest configuration in ``part`` for which BP has memory or latency; possibly empty."""
    measured = _with_costs(part)
    return _of_largest_pair(measured[measured["pair"].isin(measured.loc[measured["is_baseline"], "pair"])])


def summary_cells(part: pd.DataFrame) -> list[SummaryCell]:
    """Return the cells that represent a network in the summary.

    These are the cell of :func:`headline_costs`; the cell with the most accuracies, of equals the largest; and BP's
    strongest runs on the data and sizes of the latter, as far as they were measured: the longest run, other optimizers,
    and plain BP, which trains one module. Each cell has whatever costs and accuracies were measured on it.

    Args:
        part: the records of the network.
    """
    trained = _trained_cells(part)
    steps = {cell.first["step"] for cell in trained}
    largest = headline_costs(part)
    if largest.empty or largest.iloc[0]["step"] in steps:
        return trained
    cells = [_cell_of(part[part["step"] == largest.iloc[0]["step"]])]
    first = largest.iloc[0]
    plain = part[(part["task"] == first["task"]) & (part["optimizer"] == first["optimizer"]) & (part["modules"] == 1)]
    plain = plain[plain["is_baseline"] & ~plain["step"].isin([first["step"], *steps])]
    if not plain.empty:
        cells.append(_cell_of(plain))
    return cells + trained


def _trained_cells(part: pd.DataFrame) -> list[SummaryCell]:
    """Return the cell with the most accuracies, and BP's strongest runs beside it."""
    main = most_measured(part)
    if main.empty:
        return []
    first = main.iloc[0]
    same_samples = part["train_samples"].fillna(0) == (0 if pd.isna(first["train_samples"]) else first["train_samples"])
    relatives = part[part["has_accuracy"] & (part["task"] == first["task"]) & same_samples]
    usual = relatives[(relatives["modules"] == first["modules"]) & (relatives["cut"] == first["cut"])]
    plain = relatives[(relatives["modules"] == 1) & relatives["is_baseline"]]
    usual_runs = _runs(usual, first)
    plain_runs = _runs(plain, first) if first["modules"] > 1 else {}
    cells = []
    for run in sorted(usual_runs.keys() | plain_runs.keys(), key=lambda run: (run[0] != first["optimizer"], *run)):
        baseline = None
        if run in usual_runs:
            cells.append(_cell_of(part, usual_runs[run]))
            baseline = cells[-1].baseline
        if run in plain_runs:
            cells.append(_cell_of(part[part["is_baseline"]], plain_runs[run], baseline))
    return cells


def _runs(rows: pd.DataFrame, first: pd.Series) -> dict[tuple[str, int], pd.DataFrame]:
    """Return the accuracies of each optimizer, after as many epochs as ``first`` and after the most, by both."""
    runs = {}
    for optimizer, part in rows.groupby("optimizer"):
        for epochs in {first["epochs"], part["epochs"].max()} & set(part["epochs"]):
            run = part[part["epochs"] == epochs]
            preferred = run[run["configuration"] == first["configuration"]]
            runs[str(optimizer), int(epochs)] = _best_tuned(run) if preferred.empty else preferred
    return runs


def _best_tuned(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the configuration in which BP has the highest validation accuracy."""
    validation = rows["accuracy.validation_last"].fillna(rows["accuracy.validation_clean_last"]).astype(float)
    of_bp = validation.where(rows["is_baseline"], -1.0).groupby(rows["configuration"]).max()
    best: pd.DataFrame = rows[rows["configuration"] == of_bp.idxmax()]
    return best


def _cell_of(
    part: pd.DataFrame, accuracies: pd.DataFrame | None = None, baseline: pd.DataFrame | None = None
) -> SummaryCell:
    """Return a cell with the costs in ``part``.

    Args:
        part: the records of the cell; others are left out if ``accuracies`` are given.
        accuracies: its accuracies; those of its most measured configuration if left out.
        baseline: BP's accuracies; those on the same cell if left out or empty.
    """
    if accuracies is None:
        accuracies = most_measured(part)
    else:
        part = part[part["step"] == accuracies.iloc[0]["step"]]
    costs = headline_costs(part)
    if costs.empty:
        costs = _of_largest_pair(_with_costs(part))
    if baseline is None or baseline.empty:
        baseline = accuracies[accuracies["is_baseline"]]
    return SummaryCell(costs, accuracies, baseline)


def _with_costs(part: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have memory or latency, of the smallest seed."""
    measured = part[part["has_memory"] | part["has_latency"]]
    with_costs: pd.DataFrame = measured[measured["seed"] == measured["seed"].min()]
    return with_costs


def _of_largest_pair(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest configuration; possibly empty."""
    if rows.empty:
        return rows
    of_pair: pd.DataFrame = rows[rows["pair"] == largest_row(rows)["pair"]]
    return of_pair


def largest_row(rows: pd.DataFrame) -> pd.Series:
    """Return a row of the largest cell of ``rows``, 1 or more; of equals one with the usual heads."""
    ascending = [key not in ("cut", "compile") for key in _COST_KEYS]
    rows = rows.assign(usual_head=_has_usual_head(rows))
    return rows.sort_values([*_COST_KEYS, "usual_head"], ascending=[*ascending, True]).iloc[-1]


def _has_usual_head(rows: pd.DataFrame) -> pd.Series:
    usual: pd.Series = rows["head"] == axes()["head"].default
    return usual


def most_measured(part: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the configuration with the most accuracies.

    Of equals, the largest counts, then one with the usual heads, then the best tuned.
    """
    measured = part[part["has_accuracy"]]
    if measured.empty:
        return measured
    counted = measured.assign(
        records=measured.groupby("configuration")["configuration"].transform("size"),
        usual_head=_has_usual_head(measured),
    )
    largest = counted.sort_values(_ACCURACY_KEYS).iloc[-1]
    return _best_tuned(measured[(counted[_ACCURACY_KEYS] == largest[_ACCURACY_KEYS]).all(axis=1)])


def most_compared_cells(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of each cell, one cell after another; of cells that differ in the seed only, the least seed.

    Cells with the most methods come first, and of equals the largest; but each network has its first cell before any
    has its second, and so on.
    """
    rows = rows[rows["seed"] == rows.groupby("group")["seed"].transform("min")]
    found = []
    for _, network in rows.groupby("network", sort=True):
        sizes = network.groupby("pair").agg(
            {"series": "nunique", "depth": "max", "batch_size": "max", "modules": "max", "hidden": "max"}
        )
        of_pair = network.reset_index(drop=True).groupby("pair").indices
        ranked = sizes.sort_values(list(sizes.columns), ascending=False)
        for place, (pair, size) in enumerate(ranked.iterrows()):
            found.append((place, [-value for value in size], network.iloc[of_pair[pair]]))
    return [cell for _, _, cell in sorted(found, key=lambda item: item[:2])]
