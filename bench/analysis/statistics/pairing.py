"""Which records belong to one cell, and which cell a second method is compared on.

Cells are compared on the axes that bear on what is measured: bytes do not depend on epochs, so records that differ only
in these are of one cell. The seed, and the axes that say how long and how often something was measured, never tell
cells apart.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from bench.analysis.locking import locked_share
from bench.config.axes import axes, unpaired, values_of
from bench.config.cell import Cell, Pass
from bench.config.cell_rules import OBJECTIVE_AXES
from bench.config.label import words_of
from bench.config.methods import known_method
from bench.store.record import Record

Values = Mapping[str, Any]
Key = tuple[tuple[str, ...], tuple[str, ...]]  # names of axes, and a text for the value on each

# Axes that say how often something was measured, for how long and with which seed.
HOW_MEASURED = frozenset({"passes", "latency_seconds", "processes", "seed"})


_NOTHING = repr(None)


@dataclass(frozen=True, eq=False)
class Entry:
    """A record with the values of its cell on every axis, as a suite of today would say them."""

    record: Record
    values: Values

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The values as :func:`key_of` has them."""
        return {name: repr(value) for name, value in self.values.items()}

    @property
    def seed(self) -> int:
        """The seed of the cell."""
        return self.record.cell.seed

    @cached_property
    def locked_shares(self) -> list[float]:
        """:func:`bench.analysis.locking.locked_share` of each process, as far as the record has them."""
        if self.record.latency is not None and self.record.latency.locked_shares is not None:
            return self.record.latency.locked_shares
        share = None if self.record.trace is None else locked_share(self.record.trace)
        return [] if share is None else [share]

    def cell_text(self, names: frozenset[str]) -> str:
        """Return :func:`cell_text` of the values, which is made once for each set of ``names``."""
        text = self._cell_texts.get(names)
        if text is None:
            text = self._cell_texts[names] = cell_text(self.values, names)
        return text

    @cached_property
    def _cell_texts(self) -> dict[frozenset[str], str]:
        return {}


def entry_of(record: Record) -> Entry:
    """Return ``record`` with its values; a method that is short for another with settings becomes that."""
    values = values_of(record.cell)
    row = known_method(values["method"])
    if row is not None and row.alias_of is not None:
        presets = {name: value for name, value in row.presets_for(values).items() if values[name] == _default(name)}
        values |= presets | {"method": row.alias_of}
    return Entry(record, canonical(values))


def canonical(values: Values) -> dict[str, Any]:
    """Return ``values`` with one form for equal cells; nothing is loaded, so a network of the user's need not be there.

    It is the form of :func:`bench.config.check.make_cell`, as far as that depends on the method. A method that is not
    installed may read alpha or not, so None counts as its default.
    """
    found = dict(values)
    found |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    if found["noise_rate"] == 0 or found["noise_kind"] == "none":
        found |= {"noise_rate": 0.0, "noise_kind": "none", "noise_source": None}
    if found["modules"] in (1, found["depth"]):
        found["cut"] = _default("cut")
    if found["micro_batches"] == 1:
        found["micro_batches"] = None
    row = known_method(found["method"])
    if isinstance(found["alpha"], tuple) and len(set(found["alpha"])) == 1:
        found["alpha"] = found["alpha"][0]
    if row is None:
        return found | ({"alpha": _default("alpha")} if found["alpha"] is None else {})
    if not row.uses_alpha:
        found["alpha"] = None
    if not row.objective:
        found |= {name: _default(name) for name in OBJECTIVE_AXES}
    elif found["direction"] == "forward":
        found["smoothing"] = None
    for name in _settings(frozenset(row.settings)):
        if name in row.settings:
            choose = row.settings[name]
            cell = Cell.model_construct(None, **found)
            unset = cell.model_copy(update={name: _default(name)})
            if choose(found[name], cell) == choose(_default(name), unset):
                found[name] = _default(name)
        else:
            found[name] = _default(name)
    return found


@cache
def _settings(read: frozenset[str]) -> tuple[str, ...]:
    """Return the axes that are settings, and those in ``read``, which a method reads, in the order of the table."""
    return tuple(name for name, axis in axes().items() if axis.setting or name in read)


def second_values(values: Values, selection: Values) -> dict[str, Any]:
    """Return the cell of ``selection`` that a cell with ``values`` is compared with.

    It has the axes that ``selection`` names, the defaults of the others that belong to a method, and the rest from
    ``values``.
    """
    return canonical({**values, **_defaults_of_method(), **selection})


@cache
def _defaults_of_method() -> dict[str, Any]:
    return {name: _default(name) for name in unpaired() if name not in HOW_MEASURED}


def is_of(entry: Entry, selection: Values) -> bool:
    """Return whether ``entry`` is a cell of the method that ``selection`` names."""
    if entry.values["method"] != selection["method"]:
        return False
    wanted = second_values(entry.values, selection)
    return all(entry.values[name] == value for name, value in wanted.items() if name in axes())


def selected(entries: Iterable[Entry], where: Mapping[str, Collection[Any]]) -> list[Entry]:
    """Return those of ``entries`` whose cell has one of the values that ``where`` gives, on each of its axes."""
    found = list(entries)
    for name, values in where.items():
        wanted = [tuple(value) if isinstance(value, list) else value for value in values]
        found = [entry for entry in found if entry.values.get(name) in wanted]
    return found


def paired_axes(measured_in: Pass, entry: Entry) -> frozenset[str]:
    """Return the axes that tell cells apart in what ``measured_in`` measures, apart from those of a method.

    Among them are axes that this installation does not know.
    """
    return _known_paired_axes(measured_in) | (entry.values.keys() - axes().keys())


@cache
def _known_paired_axes(measured_in: Pass) -> frozenset[str]:
    return frozenset(
        name
        for name, axis in axes().items()
        if name not in HOW_MEASURED and axis.paired and (measured_in in axis.bears_on or axis.panel)
    )


@cache
def method_axes() -> frozenset[str]:
    """Return the axes that belong to a method."""
    return frozenset(unpaired()) - HOW_MEASURED


def key_of(values: Values, names: Iterable[str]) -> Key:
    """Return what is equal for cells that are equal on the axes in ``names``."""
    in_order = _in_order(frozenset(names))
    return in_order, tuple(map(repr, map(values.get, in_order)))


def key_of_entry(entry: Entry, names: Iterable[str]) -> Key:
    """Return :func:`key_of` for the values of ``entry``."""
    in_order, texts = _in_order(frozenset(names)), entry.texts
    return in_order, tuple([texts.get(name, _NOTHING) for name in in_order])


@cache
def _in_order(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def cell_text(values: Values, names: Collection[str]) -> str:
    """Return the cell on the axes in ``names`` as text; two cells that differ there have different texts."""
    known = words_of({name: _default(name) for name in axes()} | dict(values), names, names)
    strange = [f"{name.replace('_', ' ')} {values[name]}" for name in sorted(names) if name not in axes()]
    return ", ".join([*known, *strange])


def method_text(selection: Values) -> str:
    """Return the axes of a method as text: ``bp, modules 1``."""
    return ", ".join(axes()[name].words(value) for name, value in selection.items())


@cache
def _default(name: str) -> Any:
    default = axes()[name].default
    return tuple(default) if isinstance(default, list) else default
