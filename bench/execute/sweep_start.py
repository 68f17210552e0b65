"""What a sweep finds when it begins: which cells have a record that counts, and which are to be measured."""

from dataclasses import dataclass

from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.execute.watcher import Summary
from bench.store.file import Store
from bench.store.record import Record


@dataclass(frozen=True)
class SweepStart:
    """The state of a results file before a sweep.

    Attributes:
        todo: the cells to measure, in the order of the sweep.
        out_of_memory: the cells that have run out of memory, those of other sweeps included.
        summary: counts the cells that are stored.
    """

    todo: list[Cell]
    out_of_memory: list[Cell]
    summary: Summary


def sweep_start(sweep: Sweep, store: Store, *, retry_failed: bool, frontier: bool) -> SweepStart:
    """Compares ``sweep`` with ``store``.

    Args:
        sweep: what to measure.
        store: where records go.
        retry_failed: records that are not ``ok`` do not count.
        frontier: records that say ``skipped`` count.
    """
    stored = store.contents.latest

    def is_done(record: Record) -> bool:
        return record.status == "ok" if retry_failed else frontier or record.status != "skipped"

    done = {id_ for id_, record in stored.items() if is_done(record)}
    todo = [cell for cell in sweep.cells if cell.id not in done]
    stored_ok = sum(cell.id in done and stored[cell.id].status == "ok" for cell in sweep.cells)
    return SweepStart(
        todo=todo,
        out_of_memory=[record.cell for id_, record in stored.items() if id_ in done and record.status == "oom"],
        summary=Summary(stored_before=len(sweep.cells) - len(todo), stored_ok=stored_ok),
    )
