"""The table of axes: the fields of a cell, and what other packages add."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any

from bench.config.axis import Axis
from bench.config.cell import BUILT_IN_AXES, Cell, Pass
from bench.config.plugins import entry_points_of

GROUP = "sid_bench.axes"


@cache
def axes() -> MappingProxyType[str, Axis]:
    """Every axis by name: those of :class:`bench.config.cell.Cell` in their order, then those of other packages."""
    added: dict[str, Axis] = {}
    for plugin in entry_points_of(GROUP):
        row = plugin.load_or_none()
        if isinstance(row, Axis) and plugin.name not in BUILT_IN_AXES:
            added[plugin.name] = replace(row, name=plugin.name, later=True, panel=row.paired)
    return MappingProxyType(BUILT_IN_AXES | added)


@cache
def added_axes() -> MappingProxyType[str, Axis]:
    """The axes of other packages, by name."""
    return MappingProxyType({name: row for name, row in axes().items() if name not in BUILT_IN_AXES})


def value_of(cell: Cell, name: str) -> Any:
    """The value of ``cell`` on the axis called ``name``: its default where the cell does not hold it."""
    row = axes().get(name)
    return getattr(cell, name, None if row is None else row.default)


def values_of(cell: Cell) -> dict[str, Any]:
    """The value of ``cell`` on every axis, and what it holds of axes that this installation does not know."""
    held = cell.__dict__
    values = {name: held[name] for name in BUILT_IN_AXES}
    for name, row in added_axes().items():
        values[name] = row.default
    return values | (cell.model_extra or {})


@cache
def unpaired() -> tuple[str, ...]:
    """The axes in which a cell and the BP cell that it is compared with may differ."""
    return tuple(name for name, row in axes().items() if not row.paired)


def bearing_on(passes: Iterable[Pass]) -> tuple[str, ...]:
    """The axes on which the result of any of ``passes`` depends."""
    return _bearing_on(frozenset(passes))


@cache
def _bearing_on(passes: frozenset[Pass]) -> tuple[str, ...]:
    return tuple(name for name, row in axes().items() if row.bears_on & passes)
