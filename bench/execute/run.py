"""The sweep: measures the cells that are not stored yet, and stores what each process has measured at once.

Passes that are not timed come first, cell by cell; with several jobs, cells that no other one disturbs run at the same
time. Then come the processes that time steps: one for every group of cells, then a second one for every group, and so
on, so that the processes of a group are spread over the sweep and see different states of the machine.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from bench.config.axes import axes, value_of
from bench.config.cell import Cell
from bench.config.methods import is_compiled
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.continued import continue_cells
from bench.execute.executor import Executor
from bench.execute.frontier import why_skip
from bench.execute.group_timer import GroupTimer
from bench.execute.groups import in_groups
from bench.execute.jobs import can_run_beside_others, work_in_parallel
from bench.execute.messages import Answer
from bench.execute.sweep_start import sweep_start
from bench.execute.unfinished import UnfinishedCell, make_record
from bench.execute.watcher import Summary, Watcher
from bench.machine.allocators import SYSTEM
from bench.machine.environment import machine_environment
from bench.store.file import Store
from bench.store.journal import Journal
from bench.store.record import Record


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
        retries: how often a process that crashes is started again.
        frontier: skip cells beyond the frontier. Otherwise stored cells that were skipped are measured, too.
        jobs: how many cells run at the same time, of those that can (see :mod:`bench.execute.jobs`).

    Raises:
        BenchError: a device or a data set is missing; nothing has been measured then.
        StoreError: a record cannot be written; all earlier ones are safe.
    """
    start = sweep_start(sweep, store, retry_failed=retry_failed, frontier=frontier)
    summary = start.summary
    journal = Journal(store.path, store.contents.records)
    unfinished, notes = continue_cells(start.todo, sweep.name, journal)
    left = sum(cell.processes_left for cell in unfinished)
    watcher.begin(len(sweep.cells), summary.stored_before, left)
    for note in notes:
        watcher.note(note)
    _check_needs([one.cell for one in unfinished if not one.is_finished], executor, watcher)
    known = start.out_of_memory if frontier else None
    running = _RunningSweep(sweep.name, store, journal, watcher, summary, retries, known, unfinished)
    running.measure(executor, jobs)
    return summary


@dataclass
class _RunningSweep:
    """A sweep under way.

    Attributes:
        suite: the name of the sweep.
        store: where records go.
        journal: where the measurements of unfinished cells go.
        watcher: is told of progress.
        summary: is kept up to date.
        retries: how often a process that crashes is started again.
        out_of_memory: the cells that ran out of memory, to which others are added; None without a frontier.
        cells: what is to be measured.
        recorded: the ids of those of them whose record was stored.
    """

    suite: str
    store: Store
    journal: Journal
    watcher: Watcher
    summary: Summary
    retries: int
    out_of_memory: list[Cell] | None
    cells: list[UnfinishedCell]
    recorded: set[str] = field(default_factory=set)

    def measure(self, executor: Executor, jobs: int) -> None:
        """Measures all cells."""
        for one in self.cells:
            if one.is_finished:  # killed just before its record was stored
                self._store(one.record(), one.seconds)
        beside = [one.cell for one in self._open if can_run_beside_others(one.cell)]
        if jobs > 1 and len(beside) > 1:
            self._measure_in_parallel(beside, executor, min(jobs, len(beside)))
        for one in self._open:
            if not self._skip(one) and one.wants_untimed:
                self._measure_untimed(one, executor)
        by_id = {one.cell.id: one for one in self.cells}
        groups = [[by_id[cell.id] for cell in group] for group in in_groups(one.cell for one in self._open)]
        timer = GroupTimer(executor, self.watcher, self.retries, self._process_ended)
        for process in range(max((one.cell.processes for one in self._open), default=0)):
            for group in groups:
                members = [one for one in group if self._is_open(one) and len(one.timed) == process]
                timer.time([one for one in members if not self._skip(one)], process)

    @property
    def _open(self) -> list[UnfinishedCell]:
        return [one for one in self.cells if self._is_open(one)]

    def _is_open(self, one: UnfinishedCell) -> bool:
        return one.cell.id not in self.recorded

    def _skip(self, one: UnfinishedCell) -> bool:
        """Stores that ``one`` is skipped, if nothing of it was measured and it is beyond the frontier."""
        reason = None if one.has_begun else why_skip(one.cell, self.out_of_memory or ())
        if reason is None:
            return False
        answer = Answer(status="skipped", message=reason)
        self._store(make_record(one.cell, self.suite, answer, 0, reason), 0.0)
        return True

    def _measure_untimed(self, one: UnfinishedCell, executor: Executor) -> None:
        self.watcher.process_begins([one.cell], None)
        one.ask(lambda: executor.measure(one.cell), self.retries)
        self._process_ended([one], None)

    def _measure_in_parallel(self, cells: list[Cell], executor: Executor, jobs: int) -> None:
        """Measures cells at the same time and stores their records.

        A cell that runs out of memory has had only a share of it, so that says nothing: it is left for later, and so
        are those beyond the frontier and those beyond it.
        """
        machine_environment()  # once, here: it starts processes, which a thread may take for those of its cell
        short_of_memory: list[Cell] = []
        places = {one.cell.id: place for place, one in enumerate(self.cells)}

        def next_cells() -> Iterator[Cell]:
            for cell in cells:
                known = [] if self.out_of_memory is None else [*self.out_of_memory, *short_of_memory]
                if why_skip(cell, known) is None:
                    self.watcher.process_begins([cell], None)
                    yield cell

        def measure(job: Executor, cell: Cell) -> UnfinishedCell:
            one = UnfinishedCell(cell, self.suite)
            one.ask(lambda: job.measure(cell), self.retries)
            return one

        executors = executor.split(jobs, max(cell.threads or 1 for cell in cells))
        with closing(work_in_parallel(next_cells(), measure, executors)) as results:
            for one in results:
                if one.failure is not None and one.failure.status == "oom":
                    short_of_memory.append(one.cell)
                    self.watcher.cell_waits(one.record())
                else:
                    self.cells[places[one.cell.id]] = one
                    self._process_ended([one], None)

    def _process_ended(self, cells: Sequence[UnfinishedCell], number: int | None) -> None:
        """Stores the record of each finished cell, and of the others what their last process has measured."""
        self.watcher.process_ends([one.cell for one in cells], number)
        for one in cells:
            newest = one.timed[-1] if one.timed else one.untimed
            if one.is_finished:
                self._store(one.record(), one.seconds)
            elif newest is not None:
                self.journal.append(one.cell.id, newest.model_dump(mode="json") | {"seconds": one.seconds})
        self.watcher.processes_left(sum(one.processes_left for one in self._open))

    def _store(self, record: Record, seconds: float) -> None:
        """Stores the record of a cell whose processes took so many seconds."""
        start = time.perf_counter()
        summary = self.summary
        self.store.append(record)
        self.journal.forget(record.id)
        self.recorded.add(record.id)
        self.watcher.cell_ends(record)
        summary.add(record)
        if record.status == "oom" and self.out_of_memory is not None:
            self.out_of_memory.append(record.cell)
        if record.timing is not None and record.attempts == 1:
            # Storing and showing the record are part of the overhead, too; an earlier attempt that crashed is not.
            summary.overhead_seconds.append(seconds + time.perf_counter() - start - record.timing.work_seconds)


def _check_needs(cells: list[Cell], executor: Executor, watcher: Watcher) -> None:
    """Checks data, device and compiler of each kind of cell, so that errors are reported before anything runs."""
    seen = set()
    notes = set()
    for cell in cells:
        compiled = is_compiled(cell)
        needs = (compiled, *(value_of(cell, name) for name, row in axes().items() if row.requirement))
        if needs in seen or (
            cell.dataset == "random" and cell.device == "cpu" and not compiled and cell.allocator == SYSTEM
        ):
            continue
        seen.add(needs)
        answer = executor.check(cell)
        if answer.final:  # any other failure, as of the check's own process, says nothing about the cell
            raise BenchError(str(answer.message))
        if answer.status == "ok" and answer.message and answer.message not in notes:
            notes.add(answer.message)
            watcher.note(answer.message)
