"""The folder of a task on the file system that all machines of a cluster share.

The driver writes the request before it submits the task, and removes the folder when it has stored what is in it. The
task writes its records to a results file of its own, so that a kill of either loses nothing, and says how far it is in
a file that is replaced at once. A task whose folder has no request is of no use any more, and does nothing.
"""

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bench.config.cell import Cell
from bench.errors import StoreError, first_line
from bench.execute.messages import Message
from bench.machine.os_error import describe_os_error
from bench.store.file import Store, read_records
from bench.store.journal import Entry, Journal
from bench.store.record import Record
from bench.store.text_file import write_text


class TaskRequest(Message):
    """What a task is to do.

    Attributes:
        suite: the name of the sweep.
        cells: what to measure, in order.
        command: the command line of the driver, for the records.
        data_root, download, timeout_seconds, memory_limit_bytes, pin, preload: see
            :class:`~bench.execute.executor.ExecutorSettings`.
        retries, frontier: see :func:`bench.execute.run.run_sweep`.
    """

    suite: str
    cells: tuple[Cell, ...]
    command: tuple[str, ...]
    data_root: Path | None
    download: bool
    timeout_seconds: float
    memory_limit_bytes: int | None
    pin: bool
    preload: tuple[str, ...]
    retries: int
    frontier: bool


class Progress(Message):
    """How far a task is.

    Attributes:
        begun: the number of processes that were begun since the task was started, the one that runs included.
        running: the ids of the cells of the process that runs.
        number: of this process, from 1, if it times them; else None.
        left: the number of processes that are still to run.
        notes: what a person should know.
        outcome: ``done``; ``stopped`` by a signal; ``refused``, where nothing can be measured; None while it runs.
        message: the signal, or why it was refused.
    """

    begun: int = 0
    running: tuple[str, ...] = ()
    number: int | None = None
    left: int | None = None
    notes: tuple[str, ...] = ()
    outcome: Literal["done", "stopped", "refused"] | None = None
    message: str = ""


class Job(Message):
    """A job of the scheduler.

    Attributes:
        executor: the name of the executor that has submitted it.
        id: as the scheduler writes it.
    """

    executor: str
    id: str


class TaskFolder:
    """The folder of one task.

    Attributes:
        path: of the folder.
        records: its results file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = path / "records.jsonl"
        self._request = path / "request.json"
        self._job = path / "job.json"
        self._progress = path / "progress.json"
        self._seen_bytes = 0
        self._seen: tuple[Record, ...] = ()

    def write_request(self, request: TaskRequest, entries: dict[str, list[Entry]]) -> None:
        """Makes the folder.

        Args:
            request: what the task is to do.
            entries: of the journal: what earlier tasks have measured of cells without a record.
        """
        journal = Journal(self.records, ())
        _write(self._request, request)
        for id_, own in entries.items():
            for entry in own:
                journal.append(id_, entry)

    def request(self) -> TaskRequest | None:
        """What the task is to do; None if nobody waits for it any more."""
        text = _read(self._request)
        try:
            return None if text is None else TaskRequest.parse(text)
        except ValueError as error:
            raise StoreError(
                f"{self._request} is not a request of this version of sid-bench: {first_line(error)}; remove its "
                "folder once its job has ended"
            ) from None

    def write_job(self, job: Job) -> None:
        """Notes the job that runs the task."""
        _write(self._job, job)

    def job(self) -> Job | None:
        """The job; None if it is not known."""
        text = _read(self._job)
        return None if text is None else Job.parse(text)

    def write_progress(self, progress: Progress) -> None:
        """Replaces the progress."""
        if self._request.exists():  # writing would make the folder again
            _write(self._progress, progress)

    def progress(self) -> Progress:
        """How far the task is."""
        text = _read(self._progress)
        try:
            return Progress() if text is None else Progress.parse(text)
        except ValueError:  # a file system where a file is not replaced at once
            return Progress()

    def stored(self) -> tuple[Record, ...]:
        """The records so far.

        Raises:
            StoreError: the results file is damaged before its last line.
        """
        try:
            with self.records.open("rb") as file:  # a network file system looks for changes when a file is opened
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return ()
        if size != self._seen_bytes:
            self._seen = read_records(self.records).records
            self._seen_bytes = size
        return self._seen

    def unfinished(self) -> dict[str, list[Entry]]:
        """What the task has measured of cells without a record, once it has ended."""
        return Journal(self.records, self.stored()).entries

    def open(self) -> Store:
        """Opens the results file for the task."""
        return Store(self.records)

    def refresh(self) -> None:
        """Makes a network file system look again for what other machines have written here."""
        if self.path.exists():
            list(self.path.iterdir())

    def remove(self) -> None:
        """Removes the folder, the request first."""
        self._request.unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)


class TaskFolders:
    """The folders of the tasks of a results file, in ``FILE.tasks`` beside it.

    Attributes:
        path: ``FILE.tasks``.
        logs: where the scheduler writes what tasks print.
    """

    def __init__(self, results: Path) -> None:
        real = Path(os.path.realpath(results))
        self.path = real.with_name(f"{real.name}.tasks")
        self.logs = self.path / "logs"

    def existing(self) -> list[TaskFolder]:
        """The folders of tasks of earlier drivers, in the order in which they were made."""
        try:
            folders = [TaskFolder(entry) for entry in self.path.iterdir() if entry != self.logs]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {describe_os_error(error)}") from None
        return sorted(folders, key=_number)

    def make(self, requests: Sequence[tuple[TaskRequest, dict[str, list[Entry]]]]) -> list[TaskFolder]:
        """Makes a folder for each request.

        Raises:
            StoreError: a file cannot be written.
        """
        first = 1 + max(map(_number, self.existing()), default=0)
        made = []
        for number, (request, entries) in enumerate(requests, start=first):
            # Never the name of a folder that was removed: its task may still start.
            folder = TaskFolder(self.path / f"{number}-{secrets.token_hex(4)}")
            folder.path.mkdir(parents=True)
            folder.write_request(request, entries)
            made.append(folder)
        return made

    def remove(self) -> None:
        """Removes ``FILE.tasks``, logs included, if there is no folder of a task in it."""
        if not self.existing():
            shutil.rmtree(self.path, ignore_errors=True)


def _number(folder: TaskFolder) -> int:
    number = folder.path.name.partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _write(path: Path, message: Message) -> None:
    write_text(path, message.line().decode())


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {describe_os_error(error)}") from None
