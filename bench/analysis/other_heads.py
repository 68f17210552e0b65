"""Methods with other heads than those of a board, on its network, data and sizes, and their step times beside BP's.

Peers come with heads of their own, so BP beside them trains another network than BP on the board. Their bytes are
divided by those of BP on the board. Their times are, too, though no process has timed both: a sweep times the groups of
cells in turns, so the first process of one stands next to the first of another, and the ratio is one over processes.
With several threads BP's own step differs by up to 1.9 times between processes, so such ratios need one thread.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from bench.analysis.headline import SummaryCell
from bench.analysis.series import axis_text
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.units import estimate_over
from bench.config.axes import axes, bearing_on
from bench.config.axis import Axis
from bench.config.label import words_of

# How a method is trained, in which the settings of its authors may differ from those of the board.
_TRAINING = ("optimizer", "learning_rate", "weight_decay", "schedule")
_Training = tuple[Any, ...]
# Not compared: the heads and their width, the training, and what the records of one cell vary.
_FREE = frozenset({"head", "hidden", "seed", "noise_kind", "noise_rate", "noise_source", "passes", *_TRAINING})


def with_other_heads(part: pd.DataFrame, cell: SummaryCell) -> Iterator[tuple[SummaryCell, str | None]]:
    """Yield the cells that differ from ``cell`` in the heads, and perhaps in how they are trained.

    With each comes how it is trained, such as ``learning rate 0.0005, schedule cosine``; None where that is as on
    ``cell``, whose costs and accuracies may differ in it themselves. Their baseline is that of ``cell``. Accuracies
    belong to them where those of ``cell`` have as many epochs and samples, on data with the same noise.

    Args:
        part: the records of the network.
        cell: represents it.
    """
    if part["head"].nunique() < 2:
        return
    first = cell.first
    others = part[part["head"] != first["head"]]
    others = others[_are_equal(others, first, [name for name, axis in axes().items() if _is_of_step(name, axis)])]
    costs = others[others["has_memory"] | others["has_latency"]]
    costs = costs[costs["seed"] == costs["seed"].min()]
    trained = others[others["has_accuracy"]].iloc[: 0 if cell.accuracies.empty else None]
    if not trained.empty:
        of_training = [name for name in bearing_on(["accuracy"]) if _is_paired(name, axes()[name])]
        trained = trained[_are_equal(trained, cell.accuracies.iloc[0], of_training)]
    of_accuracies = {_training_of(row) for _, row in cell.accuracies.head(1).iterrows()}
    of_either = of_accuracies | {_training_of(row) for _, row in cell.costs.head(1).iterrows()}
    own_costs, own_accuracies = _by_head_and_training(costs, of_either), _by_head_and_training(trained, of_accuracies)
    for key in sorted({*own_costs, *own_accuracies}, key=repr):
        own, accuracies = own_costs.get(key, costs.iloc[:0]), own_accuracies.get(key, trained.iloc[:0])
        yield SummaryCell(own, accuracies, cell.baseline), _training_text(key[1])


def _training_text(training: _Training | None) -> str | None:
    if training is None:
        return None
    return ", ".join(words_of(dict(zip(_TRAINING, training, strict=True)), _TRAINING, ()))


def _by_head_and_training(
    rows: pd.DataFrame, usual: set[_Training]
) -> dict[tuple[str, _Training | None], pd.DataFrame]:
    """Return ``rows`` by their head and how they are trained, which is None where it is one of ``usual``."""
    keys = [
        (head, None if tuple(training) in usual else tuple(training))
        for head, *training in rows[["head", *_TRAINING]].to_numpy().tolist()
    ]
    return {key: rows[[other == key for other in keys]] for key in dict.fromkeys(keys)}


def _training_of(row: pd.Series) -> _Training:
    return tuple(row[name] for name in _TRAINING)


def time_over(row: pd.Series, bp: pd.Series) -> Estimate | None:
    """Return the log-ratio of a step time to that of BP beside another cell, over the processes of both.

    None where they do not compare: on other machines, with several threads, or with one process.

    Args:
        row: has a latency.
        bp: has one, too; beside it BP was timed.
    """
    if any(one["threads"] != 1 for one in (row, bp)) or row["machine"] != bp["machine"]:
        return None
    if any(axis_text(row[name]) != axis_text(bp[name]) for name in ("allocator", "device", "precision")):
        return None
    own, of_bp = _seconds(row, "median_seconds"), _seconds(bp, "bp_median_seconds")
    pairs = list(zip(own, of_bp, strict=False))
    if len(pairs) < 2 or min(map(min, pairs)) <= 0:
        return None
    return estimate_over("processes", [[math.log(mine / other)] for mine, other in pairs])


def _seconds(row: pd.Series, name: str) -> Sequence[float]:
    processes = row["latency.processes"]
    return [process[name] for process in processes] if isinstance(processes, list) else []


def _is_of_step(name: str, axis: Axis) -> bool:
    return _is_paired(name, axis) and ("memory" in axis.bears_on or axis.panel)


def _is_paired(name: str, axis: Axis) -> bool:
    return axis.paired and name not in _FREE


def _are_equal(rows: pd.DataFrame, first: pd.Series, names: Sequence[str]) -> pd.Series:
    equal = pd.Series(True, rows.index)
    for name in names:
        if name in rows:
            equal &= rows[name].map(axis_text) == axis_text(first[name])
    return equal
