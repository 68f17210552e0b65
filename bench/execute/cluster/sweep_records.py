"""What is stored of a sweep whose cells tasks measure: its records, and what was measured of unfinished cells."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.execute.frontier import why_skip
from bench.execute.messages import Answer
from bench.execute.sweep_start import sweep_start
from bench.execute.unfinished import UnfinishedCell, make_record
from bench.execute.watcher import Summary, Watcher
from bench.store.file import Store
from bench.store.journal import Journal
from bench.store.record import Record, Status


@dataclass
class SweepRecords:
    """The stored and the missing records of a sweep.

    Attributes:
        sweep: what is measured.
        store: where records go.
        journal: what tasks have measured of cells without a record.
        watcher: is told of each record.
        out_of_memory: the cells that ran out of memory, to which others are added; None without a frontier.
        summary: is kept up to date.
        todo: the cells without a record that counts, by id.
    """

    sweep: Sweep
    store: Store
    journal: Journal
    watcher: Watcher
    out_of_memory: list[Cell] | None
    summary: Summary
    todo: dict[str, Cell]
    _cells: dict[str, Cell] = field(init=False)
    _known: dict[str, Record] = field(init=False)

    def __post_init__(self) -> None:
        self._cells = {cell.id: cell for cell in self.sweep.cells}
        self._known = self.store.contents.latest

    def cells_of(self, ids: Sequence[str]) -> list[Cell]:
        """Returns the cells of the sweep with these ids."""
        return [self._cells[id_] for id_ in ids if id_ in self._cells]

    def processes_left(self, cells: Sequence[Cell]) -> int:
        """Returns how many processes are still to run for ``cells``."""
        begun = self.journal.entries
        return sum(
            max(0, UnfinishedCell(cell, self.sweep.name).processes_left - len(begun.get(cell.id, []))) for cell in cells
        )

    def entries_of(self, cells: Sequence[Cell]) -> dict[str, list[dict[str, Any]]]:
        """Returns what was measured of those of ``cells`` that have begun, by id."""
        return {cell.id: self.journal.entries[cell.id] for cell in cells if cell.id in self.journal.entries}

    def within_frontier(self, cells: Sequence[Cell]) -> list[Cell]:
        """Returns ``cells`` except those beyond the frontier, which are recorded as skipped."""
        within = []
        for cell in cells:
            reason = None if self.journal.entries.get(cell.id) else why_skip(cell, self.out_of_memory or ())
            if reason is None:
                within.append(cell)
            else:
                self.store_answer(cell, "skipped", reason, attempts=0)
        return within

    def store_answer(self, cell: Cell, status: Status, message: str, attempts: int) -> None:
        """Stores a record of ``cell`` without measurements."""
        answer = Answer(status=status, message=message)
        self.store_record(make_record(cell, self.sweep.name, answer, attempts, message))

    def store_record(self, record: Record) -> None:
        """Stores the record of a cell that is to be measured."""
        with _uninterrupted():  # so that nothing is stored again where the tasks are ended
            self._append(record)
            del self.todo[record.id]
        if record.status == "oom" and self.out_of_memory is not None:
            self.out_of_memory.append(record.cell)
        self.summary.add(record)
        if record.timing is not None and record.attempts == 1:
            self.summary.overhead_seconds.append(record.timing.overhead_seconds)
        self.watcher.cell_ends(record)

    def merge(self, record: Record, *, is_earlier: bool) -> None:
        """Stores what a task has recorded.

        A task of an earlier driver may have records that are stored already, by that driver or from a later run; only
        what has no record that counts is stored.
        """
        known = self._known.get(record.id) if is_earlier else None
        if record.id in self.todo:
            if known is None or known.created < record.created:
                self.store_record(record)
        elif is_earlier and known is None:  # of another sweep
            self._append(record)

    def keep(self, unfinished: Mapping[str, Sequence[dict[str, Any]]]) -> None:
        """Keeps what a task has measured of cells without a record."""
        for id_, entries in unfinished.items():
            known = self.journal.entries.get(id_, [])
            if id_ not in self.todo and id_ in self._known:
                continue
            if list(entries[: len(known)]) != known:
                self.journal.drop(id_)
                known = []
            for entry in entries[len(known) :]:
                self.journal.append(id_, entry)

    def _append(self, record: Record) -> None:
        self.store.append(record)
        self.journal.forget(record.id)
        self._known[record.id] = record


def sweep_records(sweep: Sweep, store: Store, watcher: Watcher, *, retry_failed: bool, frontier: bool) -> SweepRecords:
    """Compares ``sweep`` with ``store``; options as in :func:`bench.execute.run.run_sweep`."""
    start = sweep_start(sweep, store, retry_failed=retry_failed, frontier=frontier)
    return SweepRecords(
        *(sweep, store, Journal(store.path, store.contents.records), watcher),
        out_of_memory=start.out_of_memory if frontier else None,
        summary=start.summary,
        todo={cell.id: cell for cell in start.todo},
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM wait until what is inside is done."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
