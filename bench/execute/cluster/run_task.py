"""A task: measures its cells on the node where the scheduler has started it."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bench.config.cell import Cell
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.cluster.task_folder import Progress, TaskFolder, TaskRequest
from bench.execute.executor import ExecutorSettings
from bench.execute.factory import make_executor
from bench.execute.run import run_sweep
from bench.execute.watcher import Watcher

# SIGTERM: the job was cancelled, or the node is needed. SIGUSR1: the time limit is near. SIGINT: of submitit-local.
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class _StoppedError(BaseException):
    """A signal has ended the task; no ordinary exception, so that no cell is blamed for it."""


def run_task(path: str) -> None:
    """Measures the cells of the task whose folder is ``path``, and says there how it has ended.

    A task that is started again, as after the end of its node, goes on where it was.
    """
    folder = TaskFolder(Path(path))
    request = folder.request()
    if request is None:
        return
    for number in _SIGNALS:
        signal.signal(number, _stop)
    watcher = _TaskWatcher(folder)
    try:
        sys.argv = list(request.command)
        _measure(request, folder, watcher)
    except BenchError as error:
        watcher.end("refused", str(error))
    except _StoppedError as stopped:
        watcher.end("stopped", str(stopped))
    else:
        watcher.end("done")


def _measure(request: TaskRequest, folder: TaskFolder, watcher: Watcher) -> None:
    settings = ExecutorSettings(
        data_root=request.data_root,
        download=request.download,
        timeout_seconds=request.timeout_seconds,
        memory_limit_bytes=request.memory_limit_bytes,
        pin=request.pin,
        preload=request.preload,
    )
    sweep = Sweep(request.suite, "", request.cells)
    with folder.open() as store, make_executor(settings) as executor:
        run_sweep(sweep, store, executor, watcher, retries=request.retries, frontier=request.frontier)


class _TaskWatcher(Watcher):
    """Writes what a task does into its folder."""

    def __init__(self, folder: TaskFolder) -> None:
        self._folder = folder
        self._progress = Progress()

    def begin(self, _cells: int, _stored: int, processes: int) -> None:
        """Write how much there is to do."""
        self._write(left=processes)

    def note(self, text: str) -> None:
        """Write the note."""
        self._write(notes=(*self._progress.notes, text))

    def process_begins(self, cells: Sequence[Cell], number: int | None) -> None:
        """Write which cells are measured."""
        ids = tuple(cell.id for cell in cells)
        self._write(begun=self._progress.begun + 1, running=ids, number=number)

    def process_ends(self, _cells: Sequence[Cell], _number: int | None) -> None:
        """Write that they no longer are."""
        self._write(running=(), number=None)

    def processes_left(self, processes: int) -> None:
        """Remember it for the next time that something is written."""
        self._progress = self._progress.model_copy(update={"left": processes})

    def end(self, outcome: str, message: str = "") -> None:
        """Write how the task has ended."""
        self._write(outcome=outcome, message=message)

    def _write(self, **changes: object) -> None:
        self._progress = self._progress.model_copy(update=changes)
        self._folder.write_progress(self._progress)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)  # what has been measured is stored in peace
    raise _StoppedError(signal.Signals(number).name)
