"""The training runs of a method in a configuration, and their difference from BP's, judged as one family."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.analysis.differences import EPOCHS, Difference, Epoch, compared_with_bp, judged_together, runs_by_seed
from bench.config.axes import axes

_NOT_OF_NETWORK = ("seed", "modules", "cut")


@dataclass(frozen=True)
class Trained:
    """The training runs of one method in one configuration.

    Attributes:
        runs: one row per run; they differ in the seed.
        group: the column ``group`` of the runs of BP that it is compared with, and of its own for BP.
        differences: from BP by epoch; empty for BP itself.
        by_seed: the same for each common seed, in points.
    """

    runs: pd.DataFrame
    group: str
    differences: Mapping[Epoch, Difference]
    by_seed: Mapping[Epoch, Mapping[int, float]]

    @property
    def first(self) -> pd.Series:
        """The first run."""
        return self.runs.iloc[0]


def trained_methods(frame: pd.DataFrame) -> list[Trained]:
    """Return the training runs of ``frame`` by configuration and method, in order of their first rows.

    Plain BP, which trains one module, is compared with BP on the most modules of the same network and training, if that
    was measured. All differences are one family; see :func:`bench.analysis.differences.judged_together`.
    """
    measured = frame[frame["has_accuracy"]]
    parts = [part for _, part in measured.groupby(["group", "series"], sort=False)]
    baselines = {part["group"].iloc[0]: part for part in parts if part["is_baseline"].iloc[0]}
    against = [_group_of_bp(part, baselines) for part in parts]
    compared = [(at, epoch) for at, group in enumerate(against) if group is not None for epoch in EPOCHS]
    comparisons = [compared_with_bp(parts[at], _bp(baselines, against[at], parts[at]), epoch) for at, epoch in compared]
    judged = dict(zip(compared, judged_together(comparisons), strict=True))
    found = []
    for at, part in enumerate(parts):
        differences = {epoch: judged[at, epoch] for epoch in EPOCHS if (at, epoch) in judged}
        baseline = _bp(baselines, against[at], part)
        by_seed = {
            epoch: _by_seed(part, baseline, epoch) if difference.estimate is not None else {}
            for epoch, difference in differences.items()
        }
        found.append(Trained(part, against[at] or part["group"].iloc[0], differences, by_seed))
    return found


def _group_of_bp(part: pd.DataFrame, baselines: Mapping[str, pd.DataFrame]) -> str | None:
    """Return the group of the BP runs that those of ``part`` are compared with; None for those of BP itself."""
    first = part.iloc[0]
    if not first["is_baseline"]:
        return str(first["group"])
    if first["modules"] > 1:
        return None
    own = _training(first)
    others = [rows.iloc[0] for rows in baselines.values() if _training(rows.iloc[0]) == own]
    most = max(others, key=lambda row: (row["modules"], row["cut"] == "even", row["cut"]))
    return None if most["modules"] == 1 else str(most["group"])


def _training(row: pd.Series) -> str:
    """Return what is equal for runs of BP on one network with one training, however it is divided into modules."""
    return repr([(name, row[name]) for name, axis in axes().items() if axis.paired and name not in _NOT_OF_NETWORK])


def _bp(baselines: Mapping[str, pd.DataFrame], group: str | None, part: pd.DataFrame) -> pd.DataFrame:
    return part.iloc[:0] if group is None else baselines.get(group, part.iloc[:0])


def _by_seed(own: pd.DataFrame, baseline: pd.DataFrame, epoch: Epoch) -> dict[int, float]:
    first, second = runs_by_seed(own, epoch), runs_by_seed(baseline, epoch)
    return {seed: 100 * (first[seed].share - second[seed].share) for seed in sorted(first.keys() & second.keys())}
