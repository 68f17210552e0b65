"""One cell on the command line: of a results file, of a suite, or by its axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.analysis.files import tail_warnings
from bench.cli.console import warn
from bench.cli.options import one_value
from bench.config.axes import axes
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.label import label
from bench.config.methods import load_method
from bench.config.sweep import load_sweep, parse_overrides, suite_names
from bench.errors import ConfigError
from bench.store.file import read_records
from bench.store.record import Record

_SHOWN = 5  # cells that a message lists


class ChosenCell(NamedTuple):
    """A cell, and where it is from.

    Attributes:
        cell: what is asked for.
        files: that say so.
        record: the stored record of this cell; None for a cell of a suite, and where axes are replaced.
    """

    cell: Cell
    files: list[Path]
    record: Record | None


def choose_cell(text: str | None, overrides: Sequence[str], only: Sequence[str]) -> ChosenCell:
    """The cell that ``text`` names, with the axes in ``overrides`` replaced. Warns of a results file that was cut.

    Args:
        text: ``FILE.jsonl#ID``, ``SUITE#ID``, or either without an id if it has one cell. ID is an id or the beginning
            of one, and may have ``cell=`` before it, as on a report's page. None: the cell that ``overrides`` describe.
        overrides: texts ``AXIS=VALUE``.
        only: texts ``AXIS=VALUE,VALUE``, which choose among the cells of a suite; for a suite without an id.

    Raises:
        ConfigError: there is no such cell, or more than one.
        StoreError: the results file cannot be read.
    """
    name, marked, id_ = text.rpartition("#") if text is not None and "#" in text else (text, "", "")
    is_suite = name is None or name in suite_names() or name.endswith(".toml")
    if is_suite and not marked:
        sweep = load_sweep(name, overrides, only)
        where, legal = (
            ("what --set says", "--set method=NAME") if name is None else (name, f"{name}#ID, --only or --set")
        )
        return ChosenCell(_the_only(sweep.cells, where, legal), sweep.files, None)
    if only:
        raise ConfigError(f"--only {only[0]} with {text}; legal: --only with a suite and no id")
    records: dict[str, Record] = {}
    cells: Sequence[Cell]
    if is_suite:
        sweep = load_sweep(name)
        cells, files = sweep.cells, sweep.files
    else:
        files = [Path(str(name))]
        if not files[0].is_file():
            legal = "FILE.jsonl#ID, SUITE#ID, or a suite and options that leave one cell"
            raise ConfigError(f"there is no results file and no suite {name!r}; legal: {legal}")
        contents = read_records(files[0])
        warn(tail_warnings(files[0], contents))
        records = contents.latest
        cells = [record.cell for record in records.values()]
    cell = (
        _with_id(cells, id_.removeprefix("cell="), str(name)) if marked else _the_only(cells, str(name), f"{name}#ID")
    )
    replaced = {axis: one_value(axis, values, "with an id") for axis, values in parse_overrides(overrides).items()}
    return ChosenCell(_as_today(cell, replaced), files, None if replaced else records.get(cell.id))


def _as_today(cell: Cell, replaced: dict[str, Any]) -> Cell:
    """``cell`` with other values, by the names of today: a stored method may be another method with presets by now."""
    values = cell.model_dump()
    method = load_method(cell.method)
    if method.alias_of is not None:
        for name in method.presets_for(values):
            values[name] = None if values[name] == axes()[name].default else values[name]
    return make_cell(values | replaced)


def _the_only(cells: Sequence[Cell], where: str, legal: str) -> Cell:
    if len(cells) == 1:
        return cells[0]
    raise ConfigError(f"{where} has {len(cells)} cells; legal: one, by {legal}: {_listed(cells)}")


def _with_id(cells: Sequence[Cell], wanted: str, where: str) -> Cell:
    found = [cell for cell in cells if wanted and cell.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    problem = f"names {len(found)} cells" if found else "names no cell"
    raise ConfigError(f"{where}#{wanted} {problem}; legal: an id in {where}: {_listed(found or cells)}")


def _listed(cells: Sequence[Cell]) -> str:
    more = f"; and {len(cells) - _SHOWN} more" if len(cells) > _SHOWN else ""
    return "; ".join(f"{cell.id} {label(cell)}" for cell in cells[:_SHOWN]) + more or "none, it is empty"
