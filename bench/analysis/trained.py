"""The training runs of a method in a configuration, and their difference from BP's, judged as one family."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.differences import EPOCHS, Difference, Epoch, judged_together, runs_by_seed, runs_compared
from bench.analysis.statistics.runs import Run
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
    baselines = {part["group"].iloc[0]: at for at, part in enumerate(parts) if part["is_baseline"].iloc[0]}
    of_bp = [(_training(first), first) for first in (parts[at].iloc[0] for at in baselines.values())]
    against = [_group_of_bp(part.iloc[0], of_bp) for part in parts]
    runs = [{epoch: runs_by_seed(part, epoch) for epoch in EPOCHS} for part in parts]
    pairs = {
        (at, epoch): (runs[at][epoch], runs[baselines[group]][epoch] if group in baselines else {})
        for at, group in enumerate(against)
        if group is not None
        for epoch in EPOCHS
    }
    comparisons = [runs_compared(parts[at]["series"].iloc[0], *both, epoch) for (at, epoch), both in pairs.items()]
    judged = dict(zip(pairs, judged_together(comparisons), strict=True))
    found = []
    for at, part in enumerate(parts):
        differences = {epoch: judged[at, epoch] for epoch in EPOCHS if (at, epoch) in judged}
        by_seed = {
            epoch: _by_seed(*pairs[at, epoch]) if difference.estimate is not None else {}
            for epoch, difference in differences.items()
        }
        found.append(Trained(part, against[at] or part["group"].iloc[0], differences, by_seed))
    return found


def _group_of_bp(first: pd.Series, of_bp: Sequence[tuple[str, pd.Series]]) -> str | None:
    """Return the group of the BP runs that some runs are compared with; None for those of BP itself.

    Args:
        first: a row of the runs.
        of_bp: the training of all runs of BP, and a row of them.
    """
    if not first["is_baseline"]:
        return str(first["group"])
    if first["modules"] > 1:
        return None
    own = _training(first)
    others = [row for training, row in of_bp if training == own]
    most = max(others, key=lambda row: (row["modules"], row["cut"] == "even", row["cut"]))
    return None if most["modules"] == 1 else str(most["group"])


def _training(row: pd.Series) -> str:
    """Return what is equal for runs of BP on one network with one training, however it is divided into modules."""
    return repr([(name, row[name]) for name, axis in axes().items() if axis.paired and name not in _NOT_OF_NETWORK])


def _by_seed(own: Mapping[int, Run], baseline: Mapping[int, Run]) -> dict[int, float]:
    return {seed: 100 * (own[seed].share - baseline[seed].share) for seed in sorted(own.keys() & baseline.keys())}
