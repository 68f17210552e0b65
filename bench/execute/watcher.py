"""What a sweep tells of its progress, and the course of a sweep in numbers."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.config.cell import Cell
from bench.store.findings import RULE_CHECK, SETTINGS_CHECK
from bench.store.record import Record


@dataclass
class Summary:
    """The course of a sweep.

    Attributes:
        stored_before: cells whose record was in the file already.
        stored_ok: those of them that are ok.
        retries: how often a cell was started again after a crash.
        statuses: cells by status, without those stored before.
        overhead_seconds: for each cell that was measured at the first attempt, the seconds beyond its own work.
        settings_changed: for each method whose cells changed torch's settings, what the first of them changed.
        untrained: for each method whose rule left parameters without a gradient, which these were in the first cell.
        diverged: for each method whose training diverged, the number of cells.
    """

    stored_before: int = 0
    stored_ok: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    overhead_seconds: list[float] = field(default_factory=list)
    settings_changed: dict[str, str] = field(default_factory=dict)
    untrained: dict[str, str] = field(default_factory=dict)
    diverged: dict[str, int] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count a record that was stored just now."""
        self.statuses[record.status] = self.statuses.get(record.status, 0) + 1
        self.retries += max(0, record.attempts - 1)
        method, found = record.cell.method, record.environment.get("doctor", {})
        if changed := found.get(SETTINGS_CHECK):
            self.settings_changed.setdefault(method, changed)
        if fault := found.get(RULE_CHECK):
            self.untrained.setdefault(method, fault)
        if record.accuracy is not None and record.accuracy.diverged:
            self.diverged[method] = self.diverged.get(method, 0) + 1

    @property
    def measured(self) -> int:
        """The number of cells that this run has finished, however they ended."""
        return sum(count for status, count in self.statuses.items() if status != "skipped")

    @property
    def cells(self) -> int:
        """The number of cells of the sweep that have a record."""
        return self.stored_before + sum(self.statuses.values())

    @property
    def ok(self) -> int:
        """The number of cells of the sweep that are ok, measured now or before."""
        return self.stored_ok + self.statuses.get("ok", 0)

    @property
    def median_overhead_seconds(self) -> float | None:
        """The median over cells, None where none was measured."""
        return statistics.median(self.overhead_seconds) if self.overhead_seconds else None


class Watcher:
    """Is told of a sweep's progress. Subclasses override what they need; the methods here do nothing.

    Work is counted in processes: one for the passes of a cell that are not timed, and each process that times it. A
    process that times several cells counts once for each.
    """

    def begin(self, cells: int, stored: int, processes: int) -> None:
        """The sweep has ``cells`` cells, ``stored`` of which have a record already; the others take ``processes``."""

    def note(self, text: str) -> None:
        """``text`` says something about the data, or about what is continued, that a person should know."""

    def process_begins(self, cells: Sequence[Cell], number: int | None) -> None:
        """A process begins: number ``number``, from 1, of those that time ``cells``; None: it times nothing."""

    def process_ends(self, cells: Sequence[Cell], number: int | None) -> None:
        """The process has ended, and what it has measured is stored."""

    def cell_waits(self, record: Record) -> None:
        """The cell of ``record`` ran out of its share of the memory; it is measured again later, alone."""

    def cell_ends(self, record: Record) -> None:
        """``record`` was stored."""

    def processes_left(self, processes: int) -> None:
        """So many processes are still to run."""
