"""The sweep: measures the cells that are not stored yet, and stores each record at once.

Cells run one after the other. With several jobs, those that no other cell disturbs come first, at the same time.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.executor import Executor
from bench.execute.frontier import why_skip
from bench.execute.jobs import can_run_beside_others, work_in_parallel
from bench.execute.messages import SETTINGS_CHECK, Answer
from bench.machine.allocators import SYSTEM
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

    def cell_waits(self, record: Record) -> None:
        """The cell of ``record`` ran out of its share of the memory; it is measured again later, alone."""

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
    jobs: int = 1,
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
        jobs: how many cells run at the same time, of those that can (see :mod:`bench.execute.jobs`).

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
    course = _Course(sweep.name, store, watcher, summary, retries, out_of_memory if frontier else None)
    beside = [cell for cell in todo if can_run_beside_others(cell)]
    if jobs > 1 and len(beside) > 1:
        ended = course.measure_in_parallel(beside, executor, min(jobs, len(beside)))
        todo = [cell for cell in todo if cell.id not in ended]
    for cell in todo:
        course.measure_or_skip(cell, executor)
    return summary


@dataclass(frozen=True)
class _Course:
    """A sweep under way.

    Attributes:
        suite: the name of the sweep.
        store: where records go.
        watcher: is told of progress.
        summary: is kept up to date.
        retries: how often a cell that crashes is started again.
        out_of_memory: the cells that ran out of memory, to which others are added; None without a frontier.
    """

    suite: str
    store: Store
    watcher: Watcher
    summary: Summary
    retries: int
    out_of_memory: list[Cell] | None

    def measure_or_skip(self, cell: Cell, executor: Executor) -> None:
        """Measures ``cell`` while no other one runs, or skips it, and stores the record."""
        start = time.perf_counter()
        reason = why_skip(cell, self.out_of_memory or ())
        if reason is not None:
            record = _make_record(cell, self.suite, Answer(status="skipped", message=reason), attempts=0)
        else:
            self.watcher.cell_begins(cell)
            record = measure_cell(cell, self.suite, executor.measure, self.retries)
        self._store(record, start)

    def measure_in_parallel(self, cells: list[Cell], executor: Executor, jobs: int) -> set[str]:
        """Measures cells at the same time and stores their records; returns the ids of those that have one.

        A cell that runs out of memory has had only a share of it, so that says nothing: it is left for later, and so
        are those beyond the frontier and those beyond it.
        """
        machine_environment()  # once, here: it starts processes, which a thread may take for those of its cell
        short_of_memory: list[Cell] = []
        ended = set()

        def next_cells() -> Iterator[Cell]:
            for cell in cells:
                known = [] if self.out_of_memory is None else [*self.out_of_memory, *short_of_memory]
                if why_skip(cell, known) is None:
                    self.watcher.cell_begins(cell)
                    yield cell

        def measure(job: Executor, cell: Cell) -> tuple[float, Record]:
            return time.perf_counter(), measure_cell(cell, self.suite, job.measure, self.retries)

        executors = executor.split(jobs, max(cell.threads or 1 for cell in cells))
        with closing(work_in_parallel(next_cells(), measure, executors)) as results:
            for start, record in results:
                if record.status == "oom":
                    short_of_memory.append(record.cell)
                    self.watcher.cell_waits(record)
                else:
                    self._store(record, start)
                    ended.add(record.id)
        return ended

    def _store(self, record: Record, start: float) -> None:
        """Stores the record of a cell whose work began at ``start``, by ``time.perf_counter``."""
        summary = self.summary
        self.store.append(record)
        self.watcher.cell_ends(record)
        summary.statuses[record.status] = summary.statuses.get(record.status, 0) + 1
        summary.retries += max(0, record.attempts - 1)
        if changed := record.environment.get("doctor", {}).get(SETTINGS_CHECK):
            summary.settings_changed.setdefault(record.cell.method, changed)
        if record.status == "oom" and self.out_of_memory is not None:
            self.out_of_memory.append(record.cell)
        if record.timing is not None and record.attempts == 1:
            # Storing and showing the record are part of the overhead, too; an earlier attempt that crashed is not.
            summary.overhead_seconds.append(time.perf_counter() - start - record.timing.work_seconds)


def _check_needs(cells: list[Cell], executor: Executor, watcher: Watcher) -> None:
    """Checks data, device and compiler of each kind of cell, so that errors are reported before anything runs."""
    seen = set()
    notes = set()
    for cell in cells:
        needs = tuple(value_of(cell, name) for name, row in axes().items() if row.requirement)
        if needs in seen or (
            cell.dataset == "random" and cell.device == "cpu" and not cell.compile and cell.allocator == SYSTEM
        ):
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
