"""A cell on one line, for a person: two cells of one sweep that differ read differently."""

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.check import OPTIMIZER_PRESETS
from bench.config.file_names import shown

# Axes that tell cells apart in every pass.
_IDENTITY = ("seed", "alpha", "optimizer")


def label(cell: Cell) -> str:
    """What ``cell`` is: its sizes, whatever bears on its passes, and every axis that is not at its usual value."""
    usual = {name: row.default for name, row in axes().items()} | OPTIMIZER_PRESETS.get(cell.optimizer, {})
    usual |= {"noise_kind": "none", "passes": cell.passes}
    words = []
    for name, row in axes().items():
        value = value_of(cell, name)
        bears = name in _IDENTITY or row.bears_on & set(cell.passes)
        if value is not None and ((row.shown == "always" and bears) or value != usual[name]):
            words.append(row.words(value))
    return shown(" ".join(words))
