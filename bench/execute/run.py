"""The sweep: measures the cells that are not stored yet, one after the other, and stores each record at once."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.executor import Executor
from bench.execute.frontier import why_skip
from bench.execute.messages import SETTINGS_CHECK, Answer
from bench.machine.environment import machine_environment
from bench.store.file import Store
from bench.store.record import SCHEMA, Record, Timing


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
    """

    stored_before: int = 0
    stored_ok: int = 0
    retries: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    overhead_seconds: list[float] = field(default_factory=list)
    settings_changed: dict[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> int:
        """The number of cells that this run has started, however they ended."""
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
    """Is told of a sweep's progress. Subclasses override what they need; the methods here do nothing."""

    def begin(self, cells: int, stored: int) -> None:
        """The sweep has ``cells`` cells, and the records of ``stored`` of them are in the file already."""

    def data_checked(self, notes: str) -> None:
        """The data of some cells can be used, and ``notes`` says what a person should know about them."""

    def cell_begins(self, cell: Cell) -> None:
        """``cell`` is about to be measured."""

    def cell_ends(self, record: Record) -> None:
        """``record`` was stored."""


def run_sweep(
    sweep: Sweep,
    store: Store,
    executor: Executor,
    watcher: Watcher,
    *,
    retry_failed: bool = False,
    retries: int = 0,
    frontier: bool = True,
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks.

    After a cell has run out of memory, the cells beyond it (see :mod:`bench.execute.frontier`) are recorded as skipped.

    Args:
        sweep: what to measure.
        store: where records go.
        executor: runs the cells; the caller has entered it.
        watcher: is told of progress.
        retry_failed: also measure cells again whose stored record is not ``ok``, and ignore the stored frontier.
        retries: how often a cell that crashes is started again.
        frontier: skip cells beyond the frontier. Otherwise stored cells that were skipped are measured, too.

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
    stored_ok = sum(cell.id in done and stored[cell.id].status == "ok" for cell in sweep.cells)
    summary = Summary(stored_before=len(sweep.cells) - len(todo), stored_ok=stored_ok)
    watcher.begin(len(sweep.cells), summary.stored_before)
    _check_needs(todo, executor, watcher)
    for cell in todo:
        start = time.perf_counter()
        reason = why_skip(cell, out_of_memory) if frontier else None
        if reason is not None:
            record = _make_record(cell, sweep.name, Answer(status="skipped", message=reason), attempts=0)
        else:
            watcher.cell_begins(cell)
            record = measure_cell(cell, sweep.name, executor.measure, retries)
            summary.retries += record.attempts - 1
        store.append(record)
        watcher.cell_ends(record)
        summary.statuses[record.status] = summary.statuses.get(record.status, 0) + 1
        if changed := record.environment.get("doctor", {}).get(SETTINGS_CHECK):
            summary.settings_changed.setdefault(cell.method, changed)
        if record.status == "oom":
            out_of_memory.append(cell)
        if record.timing is not None and record.attempts == 1:
            # Storing and showing the record are part of the overhead, too; an earlier attempt that crashed is not.
            summary.overhead_seconds.append(time.perf_counter() - start - record.timing.work_seconds)
    return summary


def _check_needs(cells: list[Cell], executor: Executor, watcher: Watcher) -> None:
    """Checks data, device and compiler of each kind of cell, so that errors are reported before anything runs."""
    seen = set()
    notes = set()
    for cell in cells:
        needs = tuple(value_of(cell, name) for name, row in axes().items() if row.requirement)
        if needs in seen or (cell.dataset == "random" and cell.device == "cpu" and not cell.compile):
            continue
        seen.add(needs)
        answer = executor.check(cell)
        if answer.final:  # any other failure, as of the check's own process, says nothing about the cell
            raise BenchError(str(answer.message))
        if answer.status == "ok" and answer.message and answer.message not in notes:
            notes.add(answer.message)
            watcher.data_checked(answer.message)


def measure_cell(cell: Cell, suite: str, measure: Callable[[Cell], Answer], retries: int = 0) -> Record:
    """Measures ``cell`` and makes its record.

    A cell that crashes is measured again up to ``retries`` times, unless the answer is ``final``. The record holds the
    last answer; its message also says how earlier attempts ended, where that differs.

    Args:
        cell: what to measure.
        suite: the name of the sweep.
        measure: runs the cell once.
        retries: how often a crash is tried again.
    """
    crashes: list[str] = []
    while True:
        start = time.perf_counter()
        answer = measure(cell)
        seconds = time.perf_counter() - start
        if answer.status != "crashed" or answer.final or len(crashes) == retries:
            break
        crashes.append(answer.message or "")
    last_crash = answer.message if answer.status == "crashed" else None
    earlier = [f"attempt {number} crashed: {text}" for number, text in enumerate(crashes, 1) if text != last_crash]
    message = "; ".join(filter(None, [answer.message, *earlier])) or None
    timing = None
    if answer.work_seconds is not None:  # None of a cell that was killed
        timing = Timing(work_seconds=answer.work_seconds, overhead_seconds=seconds - answer.work_seconds)
    return _make_record(cell, suite, answer.model_copy(update={"message": message}), len(crashes) + 1, timing)


def _make_record(cell: Cell, suite: str, answer: Answer, attempts: int, timing: Timing | None = None) -> Record:
    return Record(
        schema=SCHEMA,
        id=cell.id,
        status=answer.status,
        message=answer.message,
        attempts=attempts,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=suite,
        cell=cell,
        data=answer.data,
        layout=answer.layout,
        parameters=answer.parameters,
        memory=answer.memory,
        latency=answer.latency,
        accuracy=answer.accuracy,
        trace=answer.trace,
        ranks=answer.ranks,
        timing=timing,
        environment=answer.environment or machine_environment(),
    )
