"""The sweep: every cell that is not stored yet, one after the other, each record stored as it lands."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.frontier import why_skip
from bench.execute.isolate import Isolation
from bench.machine.doctor import CellWatch
from bench.machine.environment import machine_environment
from bench.store.file import Store
from bench.store.record import SCHEMA, Record


@dataclass
class Summary:
    """How a sweep went: cells by status, those that were stored already, and the harness's cost a cell in seconds.

    ``retries`` counts how often a cell was started again after a crash.
    """

    stored_before: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    overhead_seconds: list[float] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """Cells that this run has started, however they ended."""
        return sum(count for status, count in self.statuses.items() if status != "skipped")

    @property
    def median_overhead_seconds(self) -> float | None:
        """The median over cells, None where none was measured."""
        return statistics.median(self.overhead_seconds) if self.overhead_seconds else None


class Watcher:
    """Hears of a sweep's progress; the methods here do nothing."""

    def begin(self, cells: int, stored: int) -> None:
        """The sweep has ``cells`` cells, of which ``stored`` are in the file already."""

    def cell_begins(self, cell: Cell) -> None:
        """``cell`` is in flight."""

    def cell_ends(self, record: Record) -> None:
        """``record`` is stored."""


def run_sweep(
    sweep: Sweep,
    store: Store,
    isolation: Isolation,
    watcher: Watcher,
    *,
    retry_failed: bool = False,
    retries: int = 0,
    frontier: bool = True,
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks.

    Once a cell has run out of memory, the cells beyond it (see :mod:`bench.execute.frontier`) are recorded as skipped.

    Args:
        sweep: what to measure.
        store: where records go.
        isolation: runs each cell in its own process.
        watcher: hears of progress.
        retry_failed: also measure cells again whose stored record is not ``ok``, and forget the stored frontier.
        retries: how often a cell that crashes is started again.
        frontier: skip cells beyond the frontier; if not, stored cells that were skipped are measured, too.

    Raises:
        BenchError: a device or a data set is missing; nothing has been measured then.
        StoreError: a record cannot be written; all earlier ones are safe.
    """
    stored = store.contents.latest

    def is_done(record: Record) -> bool:
        return record.status == "ok" if retry_failed else frontier or record.status != "skipped"

    done = {id_ for id_, record in stored.items() if is_done(record)}
    todo = [cell for cell in sweep.cells if cell.id not in done]
    out_of_memory = [record.cell for id_, record in stored.items() if id_ in done and record.status == "oom"]
    summary = Summary(stored_before=len(sweep.cells) - len(todo))
    watcher.begin(len(sweep.cells), summary.stored_before)
    _check_data(todo, isolation)
    for cell in todo:
        start = time.perf_counter()
        reason = why_skip(cell, out_of_memory) if frontier else None
        if reason is not None:
            record = _make_record(cell, sweep.name, {"status": "skipped", "message": reason}, attempts=0)
        else:
            watcher.cell_begins(cell)
            record = measure_cell(cell, sweep.name, isolation.measure, retries)
            summary.retries += record.attempts - 1
        store.append(record)
        watcher.cell_ends(record)
        summary.statuses[record.status] = summary.statuses.get(record.status, 0) + 1
        if record.status == "oom":
            out_of_memory.append(cell)
        if record.timing is not None and record.attempts == 1:
            # Storing and showing the record are part of the overhead, too; a crash before the record is not.
            summary.overhead_seconds.append(time.perf_counter() - start - record.timing.work_seconds)
    return summary


def _check_data(cells: list[Cell], isolation: Isolation) -> None:
    """Loads each data set once, looks for devices and a compiler: what is missing is said before anything runs."""
    seen = set()
    for cell in cells:
        needs = tuple(value_of(cell, name) for name, row in axes().items() if row.requirement)
        if needs in seen or (cell.dataset == "random" and cell.device == "cpu" and not cell.compile):
            continue
        seen.add(needs)
        answer = isolation.check(cell)
        if answer.get("final", False):  # a check that died, with its server, say, tells nothing: its cells will
            raise BenchError(str(answer["message"]))


def measure_cell(cell: Cell, suite: str, measure: Callable[[Cell], dict[str, Any]], retries: int = 0) -> Record:
    """The record of ``cell``: what ``measure`` answers, with its identity, its environment and the harness's cost.

    A cell that crashes is measured again up to ``retries`` times, unless the answer is ``final``. The last answer
    counts; its message says how earlier attempts ended, where that differs.
    """
    crashes: list[str] = []
    while True:
        start = time.perf_counter()
        watch = CellWatch()
        answer = dict(measure(cell))
        environment = machine_environment() | answer.get("environment", {})
        answer["environment"] = environment | {"doctor": watch.findings(environment)}
        seconds = time.perf_counter() - start
        if answer["status"] != "crashed" or answer.get("final", False) or len(crashes) == retries:
            break
        crashes.append(answer["message"])
    last_crash = answer["message"] if answer["status"] == "crashed" else None
    earlier = [f"attempt {number} crashed: {text}" for number, text in enumerate(crashes, 1) if text != last_crash]
    answer["message"] = "; ".join(filter(None, [answer["message"], *earlier])) or None
    work_seconds = answer.get("work_seconds")  # a cell that was killed does not say
    if work_seconds is not None:
        answer["timing"] = {"work_seconds": work_seconds, "overhead_seconds": seconds - work_seconds}
    return _make_record(cell, suite, answer, attempts=len(crashes) + 1)


def _make_record(cell: Cell, suite: str, answer: dict[str, Any], attempts: int) -> Record:
    names = ("data", "parameters", "memory", "latency", "accuracy", "trace", "ranks", "timing")
    parts = {part: answer.get(part) for part in names}
    return Record.parse(
        {
            "schema": SCHEMA,
            "id": cell.id,
            "status": answer["status"],
            "message": answer["message"],
            "attempts": attempts,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "suite": suite,
            "cell": cell.model_dump(mode="json"),
            "environment": answer.get("environment", machine_environment()),
            **parts,
        }
    )
