"""A cell on one line, for a person: two cells of one sweep that differ read differently."""

from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from bench.config.axes import axes, bearing_on, values_of
from bench.config.cell import Cell
from bench.config.check import OPTIMIZER_PRESETS
from bench.config.file_names import shown

# Axes that tell cells apart in every pass.
_IDENTITY = frozenset({"seed", "alpha", "optimizer"})


def label(cell: Cell) -> str:
    """What ``cell`` is: its sizes, whatever bears on its passes, and every axis that is not at its usual value."""
    always = _IDENTITY.union(bearing_on(cell.passes))
    return shown(" ".join(words_of(values_of(cell), axes(), always)))


def words_of(values: Mapping[str, Any], names: Collection[str], always: Collection[str]) -> list[str]:
    """The words for ``values`` on the axes in ``names``, in the order of the table of axes.

    An axis at its usual value is left out, unless it is in ``always`` and the table says that a line always shows it.
    """
    usual = usual_values(values["optimizer"])
    return [
        row.words(values[name])
        for name, row in axes().items()
        if name in names
        and values[name] is not None
        and ((row.shown == "always" and name in always) or (values[name] != usual[name] and name != "passes"))
    ]


@cache
def usual_values(optimizer: str) -> Mapping[str, Any]:
    """The values by axis that need no mention: the defaults, those of ``optimizer``, and labels without noise."""
    defaults = {name: row.default for name, row in axes().items()}
    return MappingProxyType(defaults | OPTIMIZER_PRESETS.get(optimizer, {}) | {"noise_kind": "none"})
