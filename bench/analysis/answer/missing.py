"""The command that measures what an answer lacks."""

from collections.abc import Sequence
from typing import Any

from bench.analysis.answer.methods import Method
from bench.analysis.answer.records import Page
from bench.analysis.headline import largest_row
from bench.config.axes import axes, values_of
from bench.config.cell import Cell, Pass
from bench.config.check import OPTIMIZER_PRESETS, make_cell
from bench.config.command import command_of
from bench.config.datasets import known_dataset
from bench.config.methods import BASELINE, known_method
from bench.config.networks import known_network
from bench.config.plugins import is_reference
from bench.errors import ConfigError

# As many processes and seeds as give an interval that is worth having.
_PROCESSES = 5
_SEEDS = range(10)
_WITH_LABELS = {"dataset": "digits", "image_size": None, "channels": None, "classes": None}


def command_for(page: Page, subject: Method, wanted: Pass, record: str | None = None) -> str | None:
    """Return the command that measures a method and BP in one pass; None where no such cell is legal.

    The cell is that of ``record``; without it the largest of the method's. Accuracies need a data set with labels.
    """
    cells = {entry.record.id: entry.record.cell for entry in page.methods[subject]}
    stored = cells[record or str(largest_row(page.rows(cells))["id"])]
    changes: dict[str, Any] = _without_bearing(stored, wanted) | {"passes": (wanted,)}
    methods = [BASELINE, stored.method]
    if wanted == "accuracy":
        dataset = known_dataset(stored.dataset)
        changes |= _WITH_LABELS if dataset is not None and not dataset.is_labelled else {}
    elif wanted == "latency":
        changes["processes"] = _PROCESSES
    if subject.ranks > 1:
        row = known_method(stored.method)
        if wanted != "accuracy":
            methods = [stored.method]
        elif row is not None and row.on_one_rank is not None:  # BP has no ranks, and one trains as several do
            methods = [BASELINE, row.on_one_rank]
            changes["ranks"] = 1
    cell = stored.model_copy(update=changes | {"method": methods[-1]})
    if not all(_is_legal(cell, method) for method in methods):
        return None
    several: dict[str, Sequence[Any]] = {"method": methods} | ({"seed": _SEEDS} if wanted == "accuracy" else {})
    return command_of(cell, page.results, several)


def _without_bearing(cell: Cell, wanted: Pass) -> dict[str, Any]:
    """Return the usual values of the axes on which the result of a pass does not depend."""
    usual = {name: row.default for name, row in axes().items() if wanted not in row.bears_on}
    presets = OPTIMIZER_PRESETS.get(cell.optimizer, {}) | {"noise_kind": "none"}
    return usual | {name: value for name, value in presets.items() if name in usual}


def _is_legal(cell: Cell, method: str) -> bool:
    """Return whether there is such a cell; code of somebody's own is not loaded to find out."""
    for name, known in ((method, known_method), (cell.network, known_network), (cell.dataset, known_dataset)):
        if is_reference(name):
            return True
        if known(name) is None:
            return False
    try:
        make_cell({name: value for name, value in values_of(cell).items() if name in axes()} | {"method": method})
    except ConfigError:
        return False
    return True
