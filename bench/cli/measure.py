"""What ``run``, ``repeat`` and ``trace`` share: options, the executor, and from a sweep to stored records."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console

from bench.analysis.words import numbered
from bench.cli.console import EXIT_FAULT, err, out, warn
from bench.cli.options import with_axis
from bench.cli.progress import BarWatcher, LineWatcher, note_lost_output
from bench.config.cell import Cell
from bench.config.datasets import load_dataset_row
from bench.config.label import label
from bench.config.sweep import Sweep, load_sweep
from bench.execute.cluster.settings import ClusterSettings
from bench.execute.executor import Executor, ExecutorSettings
from bench.execute.executors import LOCAL, executor_row
from bench.execute.factory import make_executor
from bench.execute.job.follower import follow
from bench.execute.job.place import place_from_environment, require_ranks
from bench.execute.messages import Place
from bench.execute.run import run_sweep
from bench.execute.stale_records import stale_warnings
from bench.execute.watcher import Summary, Watcher
from bench.store.file import Store

_INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How a sweep is measured; :func:`bench.execute.run.run_sweep` and ``ExecutorSettings`` describe the fields.

    ``cluster`` is what tasks ask of a cluster, for an executor that submits them.
    """

    data_root: Path | None
    download: bool
    timeout_seconds: float
    memory_limit_bytes: int | None
    pin: bool
    retries: int
    retry_failed: bool
    frontier: bool
    jobs: int = 1
    executor: str = LOCAL
    cluster: ClusterSettings | None = None


def sweep_of(
    suite: str | None,
    overrides: Sequence[str],
    only: Sequence[str],
    *,
    threads: int | None,
    ranks: int | None,
    processes: int | None,
) -> Sweep:
    """The sweep that the options of a command name.

    Raises:
        ConfigError: there is none, or two options contradict each other.
    """
    given = list(overrides)
    for axis, value in (("threads", threads), ("ranks", ranks), ("processes", processes)):
        given = with_axis(given, axis, value)
    return load_sweep(suite, given, only)


def job_place(executor: str, sweep: Sweep) -> Place | None:
    """Which rank of a job this command is; None where the executor needs no job.

    Raises:
        ConfigError: the variables of the job are missing or not legal, or a cell has another number of ranks.
    """
    if not executor_row(executor).in_job:
        return None
    place = place_from_environment()
    require_ranks(sweep.cells, place)
    return place


@contextlib.contextmanager
def interruptible(place: Path | None = None) -> Iterator[None]:
    """Ends the command with code 130 and a message on Ctrl-C and on SIGTERM; records, if any, are in ``place``."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt:
        kept = "" if place is None else f"; every finished cell is in {place}, and the same command goes on from there"
        err.print(f"interrupted{kept}")
        raise typer.Exit(_INTERRUPTED) from None


def measure(sweep: Sweep, path: Path, run: RunSettings, console: Console = out, *, quiet: bool = False) -> Summary:
    """Measures the cells of ``sweep`` that ``path`` does not hold yet, and stores their records there.

    Args:
        sweep: what to measure.
        path: the results file.
        run: how.
        console: where the progress is shown, if not by a bar on the terminal.
        quiet: show no progress.
    """
    settings = _executor_settings(sweep, run)
    row = executor_row(run.executor)
    # The commands of a job meet before the store is opened: if it cannot be, the others end with this one.
    with nullcontext() if row.submits else make_executor(settings) as executor, Store(path) as store:
        if store.contents.damaged_tail:
            line = store.contents.lines
            message = (
                f"{path}, line {line}: the last line was cut short; it is now in {path}.damaged and its cell runs again"
            )
            err.print(message, markup=False, highlight=False)
        warn(stale_warnings(sweep.cells, store.contents.latest))
        options: dict[str, Any] = {
            "retry_failed": run.retry_failed,
            "retries": run.retries,
            "frontier": run.frontier,
        }
        with _watcher(console, quiet) as watcher:
            if executor is not None:
                return run_sweep(sweep, store, executor, watcher, jobs=run.jobs, **options)
            summary: Summary = row.function()(sweep, store, watcher, settings, run.cluster, **options)
            return summary


def follow_job(sweep: Sweep, run: RunSettings) -> None:
    """Takes part in the sweep of rank 0 as another rank of the job; see :func:`bench.execute.job.follower.follow`."""
    follow(_executor_settings(sweep, run))


def _executor_settings(sweep: Sweep, run: RunSettings) -> ExecutorSettings:
    return ExecutorSettings(
        data_root=run.data_root,
        download=run.download,
        timeout_seconds=run.timeout_seconds,
        memory_limit_bytes=run.memory_limit_bytes,
        pin=run.pin,
        preload=_modules_to_preload(sweep.cells),
        executor=run.executor,
    )


def executor_for(cells: Sequence[Cell], settings: ExecutorSettings) -> Executor:
    """The executor that runs ``cells``, to be entered; it preloads what their data need.

    Raises:
        BenchError: this machine cannot do what the settings ask for.
    """
    return make_executor(replace(settings, preload=_modules_to_preload(cells)))


def report_settings(summary: Summary) -> None:
    """Warns of methods that changed the settings of torch or did not train, and of output that was lost."""
    note_lost_output()
    warnings = [f"{method}: {fault}" for method, fault in summary.untrained.items()]
    warnings += [
        f"{method}: training diverged in {numbered(cells, 'cell')}: a loss or a divergence is not finite"
        for method, cells in summary.diverged.items()
    ]
    for warning in warnings:
        err.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    for method, changed in summary.settings_changed.items():
        err.print(
            f"warning: {method} and BP beside it ran under other settings of torch than other cells: {changed}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def fail_without_results(summaries: Sequence[Summary], strict: bool) -> None:
    """Ends the command with code 1 if no cell of a sweep is ok, or with ``strict`` not every one."""
    short = [summary for summary in summaries if summary.ok == 0 or (strict and summary.ok < summary.cells)]
    for summary in short:
        err.print(f"{summary.ok} of {numbered(summary.cells, 'cell')} ok", markup=False, highlight=False)
    if short:
        raise typer.Exit(EXIT_FAULT)


def print_left_out(sweep: Sweep) -> None:
    """Says which methods take none of the cells, and why."""
    for method, reason in sweep.left_out:
        err.print(f"left out: {method}: {reason}", markup=False, highlight=False)


def print_cells(sweep: Sweep) -> None:
    """Lists the cells, one a line, and their number."""
    for cell in sweep.cells:
        out.print(f"{cell.id} {label(cell)} ({', '.join(cell.passes)})", markup=False, highlight=False)
    out.print(numbered(len(sweep.cells), "cell"))


def _modules_to_preload(cells: Sequence[Cell]) -> tuple[str, ...]:
    """What loading the data needs beyond torch, so that it is loaded once and not in each cell."""
    rows = {cell.dataset: load_dataset_row(cell.dataset) for cell in cells}
    return tuple(sorted({module for row in rows.values() for module in row.preload}))


@contextlib.contextmanager
def _watcher(console: Console, quiet: bool) -> Iterator[Watcher]:
    """A bar on a terminal, lines elsewhere, nothing if ``quiet``."""
    if quiet:
        yield Watcher()
    elif err.is_terminal:
        with BarWatcher(err) as bar:
            yield bar
    else:
        yield LineWatcher(console)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
