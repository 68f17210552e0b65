"""Which passes both sides of a comparison hold of a cell, and which of them failed on one side only.

A cell may have several records that differ in what was measured (``passes``), how often and for how long. So what a
side holds is told pass by pass, and a record of one pass says nothing of another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.statistics.pairing import HOW_MEASURED, Entry, Key
from bench.analysis.words import counted
from bench.config.cell import PASSES, Pass
from bench.config.methods import BASELINE, FIXED_WORK
from bench.store.record import Record

Passes = Mapping[Pass, Sequence[Entry]]  # the records of one cell, by pass

NOTHING_IN_COMMON = "have no cell in common"  # follows the names of both sides

_HOW = sorted(HOW_MEASURED - {"seed"})


@dataclass(frozen=True)
class StatusChange:
    """Passes of a cell that one side measured and that failed or were skipped on the other.

    Attributes:
        old: the record of the first side.
        new: that of the second side.
        passes: those that both records have in common, in order.
    """

    old: Record
    new: Record
    passes: list[Pass]


def passes_by_cell(side: Iterable[Entry], key: Callable[[Entry], Key]) -> dict[Key, dict[Pass, list[Entry]]]:
    """Return the records of each cell, by pass.

    Args:
        side: the records of one side.
        key: what is equal for records of one cell.
    """
    found: dict[Key, dict[Pass, list[Entry]]] = {}
    for entry in side:
        of_cell = found.setdefault(key(entry), {})
        for measured_in in entry.record.cell.passes:
            of_cell.setdefault(measured_in, []).append(entry)
    return found


def status_changes(before: Passes, after: Passes) -> list[StatusChange]:
    """Return the passes of a cell that are ok on one side only.

    Args:
        before: what the first side holds of the cell.
        after: what the second side holds of it.
    """
    found: dict[tuple[str, str], StatusChange] = {}
    for measured_in in in_order(before.keys() & after.keys()):
        for old, new in _pairs(before[measured_in], after[measured_in]):
            if (old.status == "ok") != (new.status == "ok"):
                found.setdefault((old.id, new.id), StatusChange(old, new, [])).passes.append(measured_in)
    return list(found.values())


def in_common_text(first: Mapping[Key, Passes], second: Mapping[Key, Passes]) -> str:
    """Return what both sides have in common although nothing of it can be compared, to follow their names.

    Args:
        first: what the first side holds of each cell.
        second: what the second side holds of each.
    """
    common = [key for key in second if key in first]
    if not common:
        return NOTHING_IN_COMMON
    cells = f"have {counted(len(common), 'cell')} in common, {'which' if len(common) == 1 else 'none of which'} "
    has = "has no" if len(common) == 1 else "has a"
    shared = [(key, one) for key in common for one in second[key] if one in first[key]]
    if not shared:
        return f"{cells}{has} pass that both measured"
    methods = {second[key][one][0].values["method"] for key, one in shared}
    reasons = ["BP's step time is the reference"] if BASELINE in methods else []
    reasons += ["fixed work is there to be timed only"] if FIXED_WORK in methods else []
    return f"{cells}{has} quantity to compare" + (f", because {' and '.join(reasons)}" if reasons else "")


def in_order(passes: Iterable[Pass]) -> list[Pass]:
    """Return ``passes`` in the order of :data:`bench.config.cell.PASSES`."""
    return sorted(passes, key=PASSES.index)


def _pairs(first: Sequence[Entry], second: Sequence[Entry]) -> Iterator[tuple[Record, Record]]:
    """Yield the records that were measured alike; if there are none, what either side has reached in any record."""
    sides = [_by_how(side) for side in (first, second)]
    alike = [how for how in sides[0] if how in sides[1]]
    for how in alike:
        yield _furthest(sides[0][how]), _furthest(sides[1][how])
    if not alike:
        yield _furthest(first), _furthest(second)


def _by_how(entries: Sequence[Entry]) -> dict[tuple[str, ...], list[Entry]]:
    found: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        found.setdefault(tuple(entry.texts[name] for name in _HOW), []).append(entry)
    return found


def _furthest(entries: Sequence[Entry]) -> Record:
    """Return the record that is ok, else one that failed, else one that was skipped."""
    return min(
        (entry.record for entry in entries), key=lambda record: (record.status != "ok", record.status == "skipped")
    )
