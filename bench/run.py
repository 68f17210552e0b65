"""The sweep: every cell that is not stored yet, one after the other, each record stored as it lands."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bench.cell import Cell
from bench.doctor import CellWatch
from bench.environment import machine_environment
from bench.errors import BenchError
from bench.isolate import Isolation
from bench.record import SCHEMA, Record, Timing
from bench.store import Store
from bench.sweep import Sweep


@dataclass
class Summary:
    """How a sweep went: cells by status, those that were stored already, and the harness's cost a cell in seconds."""

    stored_before: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    overhead_seconds: list[float] = field(default_factory=list)

    @property
    def measured(self) -> int:
        """Cells that this run has measured."""
        return sum(self.statuses.values())

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
    sweep: Sweep, store: Store, isolation: Isolation, watcher: Watcher, retry_failed: bool = False
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks.

    Args:
        sweep: what to measure.
        store: where records go.
        isolation: runs each cell in its own process.
        watcher: hears of progress.
        retry_failed: also measure cells again whose stored record is not ``ok``.

    Raises:
        BenchError: a device or a data set is missing; nothing has been measured then.
        StoreError: a record cannot be written; all earlier ones are safe.
    """
    stored = store.contents.latest
    done = {id_ for id_, record in stored.items() if record.status == "ok" or not retry_failed}
    todo = [cell for cell in sweep.cells if cell.id not in done]
    summary = Summary(stored_before=len(sweep.cells) - len(todo))
    watcher.begin(len(sweep.cells), summary.stored_before)
    _check_data(todo, isolation)
    for cell in todo:
        start = time.perf_counter()
        watcher.cell_begins(cell)
        record = measure_cell(cell, sweep.name, isolation.measure)
        store.append(record)
        watcher.cell_ends(record)
        summary.statuses[record.status] = summary.statuses.get(record.status, 0) + 1
        if record.timing is not None:  # storing and showing the record are part of the overhead, too
            summary.overhead_seconds.append(time.perf_counter() - start - record.timing.work_seconds)
    return summary


def _check_data(cells: list[Cell], isolation: Isolation) -> None:
    """Loads each data set once and looks for each device, so that what is missing is said before anything runs."""
    seen = set()
    for cell in cells:
        needs = (cell.dataset, cell.device, cell.image_size, cell.channels, cell.classes, cell.noise_kind)
        if needs in seen or (cell.dataset == "random" and cell.device == "cpu"):
            continue
        seen.add(needs)
        answer = isolation.check(cell)
        if answer["status"] != "ok":
            raise BenchError(str(answer["message"]))


def measure_cell(cell: Cell, suite: str, measure: Callable[[Cell], dict[str, Any]]) -> Record:
    """The record of ``cell``: what ``measure`` answers, with its identity, its environment and the harness's cost."""
    start = time.perf_counter()
    watch = CellWatch()
    answer = dict(measure(cell))
    environment = machine_environment() | answer.get("environment", {})
    environment["doctor"] = watch.findings(environment)
    work_seconds = answer.pop("work_seconds", None)  # a cell that was killed does not say
    timing = None
    if work_seconds is not None:
        overhead_seconds = time.perf_counter() - start - work_seconds
        timing = Timing(work_seconds=work_seconds, overhead_seconds=overhead_seconds)
    parts = {part: answer.get(part) for part in ("data", "parameters", "memory", "latency", "accuracy")}
    content = {
        "id": cell.id,
        "status": answer["status"],
        "message": answer["message"],
        "attempts": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "suite": suite,
        "cell": cell.model_dump(mode="json"),
        "timing": timing.model_dump() if timing else None,
        "environment": environment,
        **parts,
    }
    return Record.parse({"schema": SCHEMA, **content})
