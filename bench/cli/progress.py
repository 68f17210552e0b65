"""The display of a running sweep: a progress bar on a terminal, otherwise one line per cell."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from bench.analysis.words import numbered
from bench.cli.console import err
from bench.cli.streams import lost_output
from bench.config.cell import Cell
from bench.config.label import label
from bench.execute.watcher import Summary, Watcher
from bench.store.record import Record


class LineWatcher(Watcher):
    """Prints one line per finished cell, and one per process that has timed cells, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cells = 0
        self._done = 0

    def begin(self, cells: int, stored: int, _processes: int) -> None:
        """Print the number of cells, and how many are stored already."""
        self._cells, self._done = cells, stored
        self._print(f"{numbered(cells, 'cell')}, {stored} stored already, {cells - stored} to measure")

    def note(self, text: str) -> None:
        """Print ``text``."""
        self._print(text)

    def process_ends(self, cells: Sequence[Cell], number: int | None) -> None:
        """Print which cells were timed."""
        if number is not None and max(cell.processes for cell in cells) > 1:
            self._print(f"timed in process {number} of {cells[0].processes}: {_labels(cells)}")

    def cell_waits(self, record: Record) -> None:
        """Print that the cell is measured again."""
        self._print(_waits(record))

    def cell_ends(self, record: Record) -> None:
        """Print the status of the cell."""
        self._done += 1
        message = f": {record.message}" if record.message else ""
        self._print(f"[{self._done}/{self._cells}] {record.status} {label(record.cell)}{_seconds(record)}{message}")

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        note_lost_output()


class BarWatcher(Watcher):
    """A progress bar with the current cells, how many have finished, failures and time left; a context manager.

    The bar advances with each process, so that the time left is right also while no cell has all of its processes.
    """

    def __init__(self, console: Console) -> None:
        self._cells = self._done = self._failures = 0
        self._processes = 0
        self._running: dict[str, str] = {}  # the labels of the current cells by their ids
        self._progress = Progress(
            # On a narrow terminal, the description of the cell is shortened rather than the counts.
            TextColumn(
                "{task.fields[cell]}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[done]}"),
            TextColumn("{task.fields[failures]} failed"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("sweep", cell="starting", failures=0, done="")

    def begin(self, cells: int, stored: int, processes: int) -> None:
        """Set the length of the bar; stored cells do not count, so that the time left is right."""
        if stored:
            self._progress.console.print(f"{stored} of {numbered(cells, 'cell')} stored already", highlight=False)
        self._cells, self._processes = cells - stored, processes
        self._progress.reset(self._task, total=processes, cell="loading torch", failures=0, done=self._counts())

    def note(self, text: str) -> None:
        """Print ``text`` above the bar."""
        self._progress.console.print(escape(text), highlight=False)

    def process_begins(self, cells: Sequence[Cell], _number: int | None) -> None:
        """Show the current cells."""
        self._running[cells[0].id] = _labels(cells)
        self._show_running()

    def process_ends(self, cells: Sequence[Cell], _number: int | None) -> None:
        """Show the other cells that run."""
        for cell in cells:
            self._running.pop(cell.id, None)
        self._show_running()

    def processes_left(self, processes: int) -> None:
        """Advance the bar."""
        self._progress.update(self._task, completed=max(0, self._processes - processes))

    def cell_waits(self, record: Record) -> None:
        """Print a line above the bar, which does not advance."""
        self._progress.console.print(escape(_waits(record)))
        self._running.pop(record.id)
        self._show_running()

    def cell_ends(self, record: Record) -> None:
        """Count the cell, and print a line above the bar for a failed or skipped one."""
        self._done += 1
        if record.status != "ok":
            self._failures += record.status != "skipped"
            self._progress.console.print(escape(f"{record.status}: {label(record.cell)}: {record.message}"))
        self._progress.update(self._task, failures=self._failures, done=self._counts())

    def _counts(self) -> str:
        return f"{self._done}/{self._cells}"

    def _show_running(self) -> None:
        """Show the cells that run; where none does, the last one stays."""
        if len(self._running) > 1:
            self._progress.update(self._task, cell=f"{len(self._running)} cells: {' | '.join(self._running.values())}")
        elif self._running:
            self._progress.update(self._task, cell=next(iter(self._running.values())))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._progress.stop()


def note_lost_output() -> None:
    """Say on standard error that the progress of the sweep cannot be shown any more; that is no reason to end it."""
    error = lost_output()
    if error is not None:
        message = f"standard output cannot be written ({error.strerror}); the sweep goes on and stores its records"
        err.print(message, markup=False, highlight=False)


def describe(summary: Summary) -> str:
    """Return the result of a sweep as one line."""
    parts = [f"{numbered(summary.measured, 'cell')} measured"]
    parts += [f"{count} {status}" for status, count in sorted(summary.statuses.items())]
    if summary.retries:
        parts.append("1 retry" if summary.retries == 1 else f"{summary.retries} retries")
    failed = summary.stored_before - summary.stored_ok
    again = f" ({failed} of them not ok: --retry-failed measures such cells again)" if failed else ""
    parts.append(f"{summary.stored_before} stored before{again}")
    if summary.median_overhead_seconds is not None:
        parts.append(f"{summary.median_overhead_seconds:.3f} s per cell besides its own work (median)")
    return ", ".join(parts)


def _labels(cells: Sequence[Cell]) -> str:
    """The first of ``cells`` as text, and how many others there are."""
    others = len(cells) - 1
    return label(cells[0]) + (f" and {others} other method{'' if others == 1 else 's'}" if others else "")


def _waits(record: Record) -> str:
    return f"again later, alone: {label(record.cell)}: out of its share of the memory: {record.message}"


def _seconds(record: Record) -> str:
    return f" ({record.timing.work_seconds:.1f} s)" if record.timing else ""
