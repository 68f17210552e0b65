"""Finds the records of a suite that a number of the texts is about."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.config.axes import value_of
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.errors import ConfigError
from bench.store.record import Record

_USUAL = {"recompute": "none", "micro_batches": None}


def select(suite: str, records: Iterable[Record], kind: str, axes: Mapping[str, Any]) -> list[Record]:
    """Return the records with the pass ``kind`` whose cells have the values ``axes``, one or more.

    A method's usual settings are meant where no setting is named. ``suite`` names the records in errors.

    Raises:
        ConfigError: there is none.
    """
    wanted = _wanted(axes)
    found = [
        record
        for record in records
        if kind in record.cell.passes
        and all(value_of(_today(record.cell), axis) == value for axis, value in wanted.items())
    ]
    if not found:
        raise ConfigError(f"{suite}: there is no record of {axes} with the pass {kind}")
    return found


def select_one(suite: str, records: Iterable[Record], kind: str, axes: Mapping[str, Any]) -> Record:
    """Return the only record of :func:`select`.

    Raises:
        ConfigError: there is none, or several.
    """
    found = select(suite, records, kind, axes)
    if len(found) > 1:
        raise ConfigError(f"{suite}: {len(found)} records of {axes} with the pass {kind}; legal: one")
    return found[0]


def select_runs(suite: str, records: Iterable[Record], axes: Mapping[str, Any]) -> list[Record]:
    """Return the records of one cell that was trained with several seeds.

    Raises:
        ConfigError: there is none, or they differ in more than the seed.
    """
    found = select(suite, records, "accuracy", axes)
    cells = count_but_for_seed(found)
    if cells > 1:
        raise ConfigError(f"{suite}: {cells} cells of {axes} differ in more than their seed; legal: one")
    return found


def count_but_for_seed(records: Sequence[Record]) -> int:
    """Return how many cells ``records`` have, those that differ only in the seed counted once."""
    return len({_today(record.cell).model_copy(update={"seed": 0}) for record in records})


def _wanted(axes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return ``axes`` with the method that a short name stands for, and with its usual settings."""
    method = load_method(axes["method"]) if "method" in axes else None
    if method is None:
        return axes
    if method.alias_of is None:
        return {**_USUAL, **axes}
    return {**_USUAL, **method.presets_for(axes), **axes, "method": method.alias_of}


def _today(cell: Cell) -> Cell:
    """Return a stored cell under its present name: BP with checkpoints was a method of its own."""
    return cell if load_method(cell.method).alias_of is None else make_cell(cell.model_dump() | {"recompute": None})
