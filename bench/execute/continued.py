"""What an earlier sweep that was interrupted has measured of cells without a record, to go on from there."""

from collections.abc import Iterable

from pydantic import ValidationError

from bench.analysis.words import numbered
from bench.config.cell import Cell
from bench.config.label import label
from bench.execute.messages import Answer
from bench.execute.stale_records import changed_files
from bench.execute.unfinished import UnfinishedCell
from bench.machine.doctor.cuda import cuda_uuids
from bench.machine.environment import machine_environment
from bench.store.journal import Entry, Journal

# What must be equal for the processes of one cell to be parts of one measurement.
_SAME = (
    *("sid_bench", "commit", "python", "torch", "torchvision", "numpy", "platform", "cpu", "usable_cores"),
    *("memory_bytes", "memory_allocator", "cgroup_cpu_quota_cores"),
)


def continue_cells(cells: Iterable[Cell], suite: str, journal: Journal) -> tuple[list[UnfinishedCell], list[str]]:
    """The ``cells`` with what ``journal`` holds of them, and what a person should know about it.

    What was measured by another version of the code or on another machine is dropped, and those cells begin anew.
    """
    unfinished: list[UnfinishedCell] = []
    notes: list[str] = []
    begun = 0
    for cell in cells:
        one = UnfinishedCell(cell, suite)
        entries = journal.entries.get(cell.id, [])
        if entries:
            try:
                differing = next(filter(None, (_difference(cell, entry) for entry in entries)), None)
                if differing is None:
                    for entry in entries:
                        _add(one, entry)
                    begun += 1
            except (ValidationError, TypeError, ValueError):
                differing = "it cannot be read"
            if differing is not None:
                one = UnfinishedCell(cell, suite)
                journal.drop(cell.id)
                notes.append(f"begins anew: {label(cell)}: part of it was measured before, but {differing}")
        unfinished.append(one)
    if begun:
        notes.append(f"going on with {numbered(begun, 'cell')} measured in part before")
    return unfinished, notes


def _add(one: UnfinishedCell, entry: Entry) -> None:
    answer = Answer.model_validate({name: value for name, value in entry.items() if name != "seconds"})
    one.seconds = float(entry["seconds"])
    one.keep(answer)


def _difference(cell: Cell, entry: Entry) -> str | None:
    """What differs from this installation and this machine, as text; None if nothing does."""
    here, there = machine_environment(), entry["environment"]
    if "gpu_uuid" in there:
        here["gpu_uuid"] = _gpu_uuid(cell.device)
    if changed := changed_files(cell, there):
        return f"{changed[0]} has changed since"
    same = [name for name in (*_SAME, "gpu_uuid") if name in here]
    return next(
        (f"{name} was {there.get(name)} and is {here[name]}" for name in same if there.get(name) != here[name]), None
    )


def _gpu_uuid(device: str) -> str | None:
    """The UUID of ``cuda`` or ``cuda:N``; None where there is no such GPU."""
    uuids, index = cuda_uuids(), int(device.partition(":")[2] or 0)
    return uuids[index] if index < len(uuids) else None
