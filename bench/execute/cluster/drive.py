"""The driver of a sweep on a cluster: submits tasks, and merges their records into the results file.

Tasks write what they measure into folders of their own (:mod:`bench.execute.cluster.task_folder`), so that they need
no driver, and a driver that was killed is replaced by the next one: it stores what the folders hold, waits for the
tasks that still run, and submits the rest. The results file has one writer, the driver, which holds its lock.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.analysis.words import numbered
from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.cluster.divide import Needs, divide_into_tasks
from bench.execute.cluster.scheduler import UNKNOWN, JobState, Scheduler
from bench.execute.cluster.settings import ClusterSettings
from bench.execute.cluster.submit import LocalScheduler, SlurmScheduler
from bench.execute.cluster.sweep_records import SweepRecords, sweep_records
from bench.execute.cluster.task_folder import Job, Progress, TaskFolder, TaskFolders, TaskRequest
from bench.execute.executor import ExecutorSettings
from bench.execute.watcher import Summary, Watcher
from bench.store.file import Store
from bench.store.record import Status

_SHOWN_REASONS = 5
_SPARE_SHARE = 0.1  # of the memory of a task, for the processes beside the cell


@dataclass(frozen=True)
class Pace:
    """How often a driver looks, and how long it waits.

    Attributes:
        look_seconds: between two looks at the folders of tasks.
        shortest_ask_seconds: between two questions to the scheduler, where something has just ended.
        longest_ask_seconds: where nothing has ended for long.
        grace_seconds: after the end of a job, until a network file system shows what it has written.
        grace_done_seconds: the same after an end without fault, which the task has written down before.
        end_seconds: for tasks to end that were cancelled.
    """

    look_seconds: float = 0.3
    shortest_ask_seconds: float = 1.0
    longest_ask_seconds: float = 20.0
    grace_seconds: float = 3.0
    grace_done_seconds: float = 15.0
    end_seconds: float = 60.0


_USUAL = Pace()


def drive_slurm(
    sweep: Sweep, store: Store, watcher: Watcher, settings: ExecutorSettings, cluster: ClusterSettings, **options: Any
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks on a cluster with Slurm, see :func:`drive_sweep`."""
    scheduler = SlurmScheduler(cluster, TaskFolders(store.path).logs, sweep.name)
    return drive_sweep(sweep, store, watcher, settings, cluster, scheduler, **options)


def drive_local(
    sweep: Sweep, store: Store, watcher: Watcher, settings: ExecutorSettings, cluster: ClusterSettings, **options: Any
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks in tasks on this machine, see :func:`drive_sweep`."""
    scheduler = LocalScheduler(cluster, TaskFolders(store.path).logs)
    return drive_sweep(sweep, store, watcher, settings, cluster, scheduler, **options)


def drive_sweep(
    sweep: Sweep,
    store: Store,
    watcher: Watcher,
    settings: ExecutorSettings,
    cluster: ClusterSettings,
    scheduler: Scheduler,
    *,
    retry_failed: bool = False,
    retries: int = 0,
    frontier: bool = True,
    pace: Pace = _USUAL,
) -> Summary:
    """Measures the cells of ``sweep`` that ``store`` lacks, in tasks that ``scheduler`` runs.

    An exception, KeyboardInterrupt included, cancels the tasks that run, and stores what they have measured.

    Args:
        sweep: what to measure.
        store: where records go; its folder is on a file system that all tasks see.
        watcher: is told of progress.
        settings: of the executor of each task.
        cluster: what a task asks of the cluster.
        scheduler: runs the tasks.
        retry_failed: see :func:`bench.execute.run.run_sweep`.
        retries: likewise, in each task; and how often a task that ends is submitted again because of one cell.
        frontier: likewise.
        pace: how often to look.

    Raises:
        BenchError: tasks were refused, or ended before they had measured all of their cells, whose next run goes on.
        StoreError: a record cannot be written; it is safe in the folder of its task.
    """
    records = sweep_records(sweep, store, watcher, retry_failed=retry_failed, frontier=frontier)
    driver = _Driver(
        *(records, watcher, scheduler, settings, cluster, retries, pace),
        suite=sweep.name,
        folders=TaskFolders(store.path),
    )
    watcher.begin(len(sweep.cells), records.summary.stored_before, records.processes_left(list(records.todo.values())))
    driver.measure()
    return records.summary


@dataclass
class _Task:
    """A task that was submitted.

    Attributes:
        folder: of the task.
        job: its id.
        cells: those without a record of its own yet, by id.
        left: how many processes are still to run.
        progress: the last that was read.
        handed: the number of measurements of its cells by earlier tasks.
        is_earlier: an earlier driver has submitted it.
        merged: the number of its records that were looked at.
        missing: how often in a row the scheduler did not know its job.
        over: the state in which its job has ended; None while it runs.
        over_since: when that was seen, by ``time.monotonic``.
    """

    folder: TaskFolder
    job: str
    cells: dict[str, Cell]
    left: int
    handed: int = 0
    is_earlier: bool = False
    progress: Progress = field(default_factory=Progress)
    merged: int = 0
    missing: int = 0
    over: JobState | None = None
    over_since: float = 0.0


@dataclass
class _Driver:
    """A sweep under way.

    Attributes:
        records: what is stored of the sweep, and what is missing.
        watcher, scheduler, settings, cluster, retries, pace: see :func:`drive_sweep`.
        suite: the name of the sweep.
        folders: of the tasks.
        waiting: what is still to be submitted, with what it needs.
        tasks: those that were submitted and whose end has not been handled.
        apart: ids of cells that are measured in a task of their own.
        attempts: how many tasks have ended while they measured a cell, by id.
        given_up: the number of cells that wait for the next run, by reason.
    """

    records: SweepRecords
    watcher: Watcher
    scheduler: Scheduler
    settings: ExecutorSettings
    cluster: ClusterSettings
    retries: int
    pace: Pace
    suite: str
    folders: TaskFolders
    waiting: list[tuple[Needs, list[Cell]]] = field(default_factory=list)
    tasks: list[_Task] = field(default_factory=list)
    apart: set[str] = field(default_factory=set)
    attempts: Counter[str] = field(default_factory=Counter)
    given_up: dict[str, int] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _ask_seconds: float = 0.0
    _asked: float = float("-inf")

    def measure(self) -> None:
        """Measures all cells that are to be measured."""
        try:
            self._take_up()
            taken = {id_ for task in self.tasks for id_ in task.cells}
            self._plan([cell for cell in self.records.todo.values() if cell.id not in taken])
            while self.waiting or self.tasks:
                self._submit()
                self._ask()
                for task in list(self.tasks):
                    self._look(task)
                self.watcher.processes_left(self._processes_left())
                if self.tasks:
                    time.sleep(max(self.pace.look_seconds, 0.01 * len(self.tasks)))
        except BaseException:
            self._end()
            raise
        if self.given_up:
            reasons = [f"{count}: {reason}" for reason, count in self.given_up.items()]
            if len(reasons) > _SHOWN_REASONS:
                reasons[_SHOWN_REASONS:] = [f"and {numbered(len(reasons) - _SHOWN_REASONS, 'other reason')}"]
            raise BenchError(
                f"not measured: {numbered(sum(self.given_up.values()), 'cell')} of {self.suite} "
                f"({'; '.join(reasons)}). All others are stored; the same command goes on from there. What tasks have "
                f"printed is in {self.folders.logs}"
            )
        self.folders.remove()

    def _processes_left(self) -> int:
        waiting = sum(self.records.processes_left(cells) for _, cells in self.waiting)
        return waiting + sum(task.left for task in self.tasks)

    def _take_up(self) -> None:
        """Stores what the tasks of earlier drivers have measured, and waits for those that still run."""
        found: list[_Task] = []
        for folder in self.folders.existing():
            request, job = folder.request(), folder.job()
            if request is None:
                folder.remove()
                continue
            if job is not None and job.executor != self.scheduler.name and folder.progress().outcome is None:
                raise BenchError(
                    f"{folder.path} is a task of --executor {job.executor} which may not have ended; legal: "
                    f"--executor {job.executor}, or remove the folder once job {job.id} has ended"
                )
            cells = {cell.id: cell for cell in request.cells}
            found.append(_Task(folder, "" if job is None else job.id, cells, left=0, is_earlier=True))
        states = self._states({task.job for task in found if task.job})
        for task in found:
            self.tasks.append(task)
            self._merge(task)
            state = states.get(task.job, UNKNOWN)
            if state.is_over or task.folder.progress().outcome is not None:
                self._dismiss(task)
            else:
                task.cells = {id_: cell for id_, cell in task.cells.items() if id_ in self.records.todo}
                task.left = self.records.processes_left(list(task.cells.values()))
        if self.tasks:
            self.watcher.note(f"waiting for {numbered(len(self.tasks), 'task')} of an earlier run")

    def _states(self, jobs: set[str]) -> dict[str, JobState]:
        """The states of the jobs of earlier drivers.

        Raises:
            BenchError: the scheduler does not answer, so it is not known which of them run.
        """
        states = self.scheduler.states(jobs) if jobs else {}
        if states is None:
            raise BenchError(
                f"{self.folders.path} holds tasks of an earlier run, and the scheduler does not say whether they run; "
                "run the command again when squeue answers"
            )
        return dict(states)

    def _plan(self, cells: Sequence[Cell]) -> None:
        """Plans tasks for cells, except those beyond the frontier, which are recorded as skipped."""
        wanted = self.records.within_frontier(cells)
        divided = divide_into_tasks(wanted, self.cluster.cells_per_task, self.apart)
        self.waiting += [(needs, task) for needs, tasks in divided.items() for task in tasks]

    def _submit(self) -> None:
        """Submits what the scheduler takes now."""
        room = len(self.waiting)
        if self.scheduler.capacity is not None:
            room = min(room, self.scheduler.capacity - len(self.tasks))
        if room <= 0:
            return
        chosen, self.waiting = self.waiting[:room], self.waiting[room:]
        for needs in dict.fromkeys(needs for needs, _ in chosen):
            divided = [cells for other, cells in chosen if other == needs]
            folders = self.folders.make([(self._request(cells), self.records.entries_of(cells)) for cells in divided])
            try:
                jobs = self.scheduler.submit([folder.path for folder in folders], needs)
            except BaseException:
                for folder in folders:  # a task that was submitted all the same finds no request
                    folder.remove()
                raise
            for folder, job, cells in zip(folders, jobs, divided, strict=True):
                folder.write_job(Job(executor=self.scheduler.name, id=job))
                left = self.records.processes_left(cells)
                handed = sum(map(len, self.records.entries_of(cells).values()))
                self.tasks.append(_Task(folder, job, {cell.id: cell for cell in cells}, left, handed))

    def _request(self, cells: Sequence[Cell]) -> TaskRequest:
        settings = self.settings
        limit = settings.memory_limit_bytes
        if self.cluster.memory is not None:
            of_task = round(self.cluster.memory * (1 - _SPARE_SHARE))
            limit = of_task if limit is None else min(limit, of_task)
        return TaskRequest(
            suite=self.suite,
            cells=tuple(cells),
            command=tuple(sys.argv),
            data_root=None if settings.data_root is None else settings.data_root.absolute(),
            download=settings.download,
            timeout_seconds=settings.timeout_seconds,
            memory_limit_bytes=limit,
            pin=settings.pin,
            preload=settings.preload,
            retries=self.retries,
            frontier=self.records.out_of_memory is not None,
        )

    def _ask(self) -> None:
        """Asks the scheduler, less and less often while nothing ends, which jobs have ended and why others wait."""
        now = time.monotonic()
        running = [task for task in self.tasks if task.over is None]
        if not running or now - self._asked < self._ask_seconds:
            return
        self._asked = now
        shortest, longest = self.pace.shortest_ask_seconds, self.pace.longest_ask_seconds
        self._ask_seconds = min(longest, max(shortest, 1.3 * self._ask_seconds))
        states = self.scheduler.states({task.job for task in running})
        if states is None:
            self._tell("silent", "the scheduler does not answer; tasks go on, and it is asked again")
            return
        waits = Counter(state.reason for state in states.values() if state.name == "PENDING" and state.reason)
        for reason, count in waits.items():
            if reason not in ("JobArrayTaskLimit", "BeginTime"):
                self._tell(f"wait: {reason}", f"{numbered(count, 'task')} waiting: {reason}")
        for task in running:
            state = states.get(task.job, UNKNOWN)
            task.missing = 0 if task.job in states else task.missing + 1
            if state.is_over and task.missing != 1:  # one answer may lack a job, as when Slurm starts again
                task.over, task.over_since = state, now

    def _tell(self, what: str, text: str) -> None:
        """Tells the watcher once of what may be seen again and again."""
        if what not in self._told:
            self._told.add(what)
            self.watcher.note(text)

    def _look(self, task: _Task) -> None:
        """Stores what a task has measured since the last look, and handles its end."""
        self._merge(task)
        outcome = task.progress.outcome
        if outcome == "done" and not task.cells:
            self._dismiss(task)
        elif outcome == "refused":
            self._give_up(task, task.progress.message)
        elif task.over is not None:
            task.folder.refresh()
            if outcome == "stopped" or time.monotonic() - task.over_since >= self._grace_seconds(task.over):
                self._merge(task)
                self._lost(task, task.over)

    def _grace_seconds(self, state: JobState) -> float:
        return self.pace.grace_done_seconds if state.name == "COMPLETED" else self.pace.grace_seconds

    def _merge(self, task: _Task) -> None:
        """Stores the new records of a task, and tells what it does."""
        # The progress first: if it says that the task is done, all records are there.
        before, task.progress = task.progress, task.folder.progress()
        for record in task.folder.stored()[task.merged :]:
            self.records.merge(record, is_earlier=task.is_earlier)
            task.merged += 1  # only now: what could not be stored stays in the folder
            task.cells.pop(record.id, None)
        now = task.progress
        for note in now.notes:
            self._tell(note, note)
        if now.left is not None:
            task.left = now.left
        if now.running != before.running or now.number != before.number:
            self._tell_end(before)
            cells = self.records.cells_of(now.running)
            if cells and now.outcome is None:
                self.watcher.process_begins(cells, now.number)

    def _tell_end(self, progress: Progress) -> None:
        cells = self.records.cells_of(progress.running)
        if cells:
            self.watcher.process_ends(cells, progress.number)

    def _dismiss(self, task: _Task) -> None:
        """Keeps what a task has measured of cells without a record, and removes its folder."""
        self.records.keep(task.folder.unfinished())
        task.folder.remove()
        self.tasks.remove(task)
        self._tell_end(task.progress)
        self._ask_seconds = 0.0

    def _give_up(self, task: _Task, reason: str) -> None:
        """Leaves the rest of a task to the next run."""
        self.given_up[reason] = self.given_up.get(reason, 0) + len(task.cells)
        self.watcher.note(f"{numbered(len(task.cells), 'cell')} left for the next run: {reason}")
        self._dismiss(task)

    def _lost(self, task: _Task, state: JobState) -> None:
        """Handles a task that has ended before it had measured all of its cells.

        A cell is blamed only for what happened while it was the only one that was measured, and for a time limit only
        if it had all of the time. Cells that were measured together get a task each, to find out which it was.
        """
        log = self.scheduler.log(task.job)
        ended = f"job {task.job} ended as {state.name}"
        told = f"{ended}; {log}" if log and task.progress.outcome is None else ended
        is_limit = state.name == "TIMEOUT" or task.progress.message == "SIGUSR1"
        was_stopped = task.progress.outcome == "stopped" and state.name in ("COMPLETED", "FAILED", UNKNOWN.name)
        if not task.cells:
            self._dismiss(task)
        elif not is_limit and (state.was_cancelled or was_stopped):
            self._give_up(task, ended)
        elif state.was_displaced:
            self._again(task)
        elif task.progress.begun == 0:
            self._give_up(task, f"{told} before it began a cell")
        else:
            running = [task.cells[id_] for id_ in task.progress.running if id_ in task.cells]
            status: Status = "crashed"
            if is_limit:
                status = "timeout"
                told = f"{ended}: its time limit of {self.cluster.time} min"
                if task.progress.begun > 1 and self._has_progressed(task):
                    running = []
            elif state.name == "OUT_OF_MEMORY":
                status = "oom"
            if len(running) > 1:
                self.apart.update(cell.id for cell in running)
            elif running:
                self.attempts[running[0].id] += 1
                if status != "crashed" or self.attempts[running[0].id] > self.retries:
                    self._blame(task, running[0], status, told)
            self._again(task)

    @staticmethod
    def _has_progressed(task: _Task) -> bool:
        """Whether anything that a task has measured was kept, so that the next one begins further on."""
        return task.merged > 0 or sum(map(len, task.folder.unfinished().values())) > task.handed

    def _blame(self, task: _Task, cell: Cell, status: Status, message: str) -> None:
        del task.cells[cell.id]
        self.records.store_answer(cell, status, message, self.attempts[cell.id])

    def _again(self, task: _Task) -> None:
        """Plans new tasks for the rest of one."""
        self._dismiss(task)
        self._plan(list(task.cells.values()))

    def _end(self) -> None:
        """Cancels the tasks, waits for their end, and stores what they have measured."""
        self.waiting.clear()
        self.scheduler.cancel({task.job for task in self.tasks})
        deadline = time.monotonic() + self.pace.end_seconds
        while self.tasks and time.monotonic() < deadline:
            states = self.scheduler.states({task.job for task in self.tasks})
            for task in list(self.tasks):
                task.folder.refresh()
                self._merge(task)
                is_over = states is not None and states.get(task.job, UNKNOWN).is_over
                if is_over or task.progress.outcome is not None:
                    self._dismiss(task)
            if self.tasks:
                time.sleep(self.pace.look_seconds)
        self.folders.remove()
