"""Stored records of rules, networks and data in files of a user's own that have changed since."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bench.analysis.words import numbered
from bench.config.cell import Cell
from bench.config.own_files import code_of, own_files, own_files_of
from bench.store.findings import own_files_in
from bench.store.record import Record


def stale_warnings(cells: Iterable[Cell], stored: Mapping[str, Record]) -> list[str]:
    """Return a warning for each file that has changed since records of ``cells`` were stored.

    Args:
        cells: what is to be measured.
        stored: the newest record of each cell, by its id.
    """
    changed: Counter[str] = Counter()
    versions: dict[tuple[str, ...], dict[str, str]] = {}  # most cells name the same
    for cell in cells:
        if cell.id in stored:
            names = code_of(cell)
            if names not in versions:
                versions[names] = own_files_of(names)
            changed.update(_differing(versions[names], stored[cell.id].environment))
    return [
        f"{file} has changed since {numbered(count, 'cell')} {'was' if count == 1 else 'were'} stored. Stored cells "
        "are not measured again: to measure this version, write to another --out"
        for file, count in sorted(changed.items())
    ]


def changed_files(cell: Cell, environment: Mapping[str, Any]) -> list[str]:
    """Return the files of ``cell`` that are of another version in the environment of a measurement."""
    return _differing(own_files(cell), environment)


def _differing(versions: Mapping[str, str], environment: Mapping[str, Any]) -> list[str]:
    before = own_files_in(environment)
    return [file for file, version in versions.items() if before.get(file, version) != version]
