"""Stored records of rules, networks and data in files of a user's own that have changed since."""

from collections import Counter
from collections.abc import Iterable, Mapping

from bench.analysis.words import numbered
from bench.config.cell import Cell
from bench.config.own_files import own_files
from bench.store.findings import OWN_FILES
from bench.store.record import Record


def stale_warnings(cells: Iterable[Cell], stored: Mapping[str, Record]) -> list[str]:
    """Return a warning for each file that has changed since records of ``cells`` were stored.

    Args:
        cells: what is to be measured.
        stored: the newest record of each cell, by its id.
    """
    changed: Counter[str] = Counter()
    for cell in cells:
        record = stored.get(cell.id)
        before = {} if record is None else record.environment.get(OWN_FILES)
        if not isinstance(before, dict) or not before:
            continue
        changed.update(file for file, version in own_files(cell).items() if before.get(file, version) != version)
    return [
        f"{file} has changed since {numbered(count, 'cell')} that it is part of had been stored. Stored cells are not "
        "measured again: to measure this version, write to another --out"
        for file, count in sorted(changed.items())
    ]
