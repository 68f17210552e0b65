"""Tasks that end at once as a test says, in place of jobs of a scheduler."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.sweep import Sweep
from bench.execute.cluster.divide import Needs
from bench.execute.cluster.drive import Pace, drive_sweep
from bench.execute.cluster.scheduler import JobState
from bench.execute.cluster.settings import ClusterSettings
from bench.execute.cluster.task_folder import Progress, TaskFolder, TaskRequest
from bench.execute.executor import ExecutorSettings
from bench.execute.messages import Answer
from bench.execute.unfinished import make_record
from bench.execute.watcher import Summary, Watcher
from bench.store.file import Store
from bench.store.record import Record

INSTANT = Pace(0, 0, 0, 0, 0, 1)


@dataclass(frozen=True)
class End:
    """How a task ends.

    Attributes:
        state: of its job.
        measured: the number of its cells that have a record then.
        running: the number of cells of the process that ran then.
        outcome: what the task itself says.
        message: of the outcome.
    """

    state: str = "COMPLETED"
    measured: int | None = None
    running: int = 1
    outcome: str | None = None
    message: str = ""


DONE = End(outcome="done")
Script = Callable[[Sequence[Cell]], End]


def tiny_cells(count: int, **axes: object) -> list[Cell]:
    """Cells that differ in their seed; they are not timed unless ``axes`` say so."""
    usual = {"method": "bp", "dataset": "random", "passes": ["memory"]}
    return [make_cell(usual | axes | {"seed": seed}) for seed in range(count)]


def sweep_of(cells: Iterable[Cell]) -> Sweep:
    return Sweep("tiny", "", tuple(cells))


def record_of(cell: Cell, status: str = "ok", message: str | None = None) -> Record:
    return make_record(cell, "tiny", Answer(status=status, environment={"where": "a node"}), 1, message)


@dataclass
class ScriptedScheduler:
    """Ends each task as ``script`` says.

    Attributes:
        script: gets the cells of a task.
        capacity: see :class:`bench.execute.cluster.scheduler.Scheduler`.
        submitted: the cells of each task, in order, with what it needs.
        cancelled: the jobs that were cancelled.
        ended: the states of jobs by id.
        silent: how many questions are not answered.
    """

    script: Script = lambda _: DONE
    capacity: int | None = None
    name: str = "scripted"
    submitted: list[tuple[Needs, list[Cell]]] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    ended: dict[str, JobState] = field(default_factory=dict)
    silent: int = 0

    def submit(self, folders: Sequence[Path], needs: Needs) -> list[str]:
        return [self._run(TaskFolder(folder), needs) for folder in folders]

    def _run(self, folder: TaskFolder, needs: Needs) -> str:
        request = folder.request()
        assert request is not None
        self.submitted.append((needs, list(request.cells)))
        end = self.script(request.cells)
        run_scripted(folder, request, end)
        job = str(len(self.submitted))
        self.ended[job] = JobState(end.state)
        return job

    def states(self, jobs: Collection[str]) -> Mapping[str, JobState] | None:
        if self.silent:
            self.silent -= 1
            return None
        return {job: self.ended[job] for job in jobs if job in self.ended}

    def cancel(self, jobs: Collection[str]) -> None:
        self.cancelled |= set(jobs)
        self.ended |= {job: JobState("CANCELLED") for job in jobs}

    def log(self, job: str) -> str:
        return f"what {job} printed"


def run_scripted(folder: TaskFolder, request: TaskRequest, end: End) -> None:
    """Writes what a task that ends so leaves behind."""
    measured = len(request.cells) if end.measured is None else min(end.measured, len(request.cells))
    with folder.open() as store:
        for cell in request.cells[:measured]:
            store.append(record_of(cell))
    running = tuple(cell.id for cell in request.cells[measured : measured + end.running])
    folder.write_progress(
        Progress(begun=measured + bool(running), running=running, outcome=end.outcome, message=end.message)
    )


def drive(
    cells: Iterable[Cell],
    results: Path,
    scheduler: ScriptedScheduler,
    watcher: Watcher | None = None,
    cells_per_task: int = 4,
    **options: object,
) -> Summary:
    """Measures ``cells`` as ``sid-bench run`` does, with tasks of ``scheduler``."""
    with Store(results) as store:
        return drive_sweep(
            *(sweep_of(cells), store, watcher or Watcher(), ExecutorSettings()),
            ClusterSettings(cells_per_task=cells_per_task),
            scheduler,
            pace=INSTANT,
            **options,  # type: ignore[arg-type]
        )
