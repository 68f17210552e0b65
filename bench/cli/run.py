"""``sid-bench run``: measures the cells of a suite."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bench.cli.console import EXIT_FAULT, err, out
from bench.cli.options import DataRoot, Only, Overrides, Suite, parse_bytes, with_axis
from bench.cli.progress import BarWatcher, LineWatcher, describe, note_lost_output
from bench.config.datasets import load_dataset_row
from bench.config.label import label
from bench.config.sweep import Sweep, load_sweep
from bench.execute.executor import ExecutorSettings
from bench.execute.factory import make_executor
from bench.execute.jobs import check_jobs
from bench.execute.run import run_sweep
from bench.execute.watcher import Watcher
from bench.machine.system import this_system
from bench.store.file import Store
from bench.store.text_file import refuse_overlaps

_INTERRUPTED = 130


def run(
    suite: Suite = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Results file to append to. [default: results/SUITE.jsonl]")
    ] = None,
    overrides: Overrides = None,
    only: Only = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Fresh processes for each latency, as --set processes=N.")
    ] = None,
    data_root: DataRoot = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing data sets into --data-root.")] = False,
    cell_timeout: Annotated[float, typer.Option(min=0.001, help="Seconds until a cell is killed.")] = 1800,
    memory_limit: Annotated[
        str | None, typer.Option(help="What a cell may allocate, as in 2GiB. [default: nine tenths of what is free]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads that torch computes with; the same as --set threads=N.")
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that share each step; the same as --set ranks=N.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Cells that run at the same time, of those that are not timed, on one rank and on the CPU; each needs "
            "its threads set, as by --threads 1. Timed cells come after them, one at a time.",
        ),
    ] = 1,
    pin: Annotated[
        bool,
        typer.Option(
            "--pin",
            help="Bind each cell's process to as many CPUs as it has threads (all physical cores where threads is not "
            "set). A record has the same id with and without it, so cells that are stored are not measured again.",
        ),
    ] = False,
    retries: Annotated[int, typer.Option(min=0, help="How often a cell that crashes is started again.")] = 1,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Measure cells again whose stored record is not ok.")
    ] = False,
    no_frontier: Annotated[
        bool, typer.Option("--no-frontier", help="Run cells that are larger than one that ran out of memory, too.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit with code 1 unless every cell is ok, those stored before included."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and measure nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the summary only.")] = False,
) -> None:
    """Measure the cells of a suite that the results file does not hold yet.

    Each cell runs in a process of its own and its record is stored at once, so a run may be stopped at any time and
    taken up again with the same command. A cell that runs out of memory, takes too long or crashes is a record, too;
    once one has run out of memory, larger ones of the same kind are recorded as skipped.

    Exit codes: 0 done; 1 done, but no cell is ok, or with --strict not every cell; 2 refused, or a record could not be
    stored; 130 interrupted.
    """
    given = overrides or []
    for axis, value in (("threads", threads), ("ranks", ranks), ("processes", processes)):
        given = with_axis(given, axis, value)
    sweep = load_sweep(suite, given, only or [])
    limit = parse_bytes("--memory-limit", memory_limit) if memory_limit else None
    print_left_out(sweep)
    if dry_run:
        _print_cells(sweep)
        return
    if (warning := check_jobs(sweep.cells, jobs, pin, this_system())) is not None:
        err.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
    path = out_file or Path("results") / f"{sweep.name}.jsonl"
    refuse_overlaps([("--out", path)], sweep.files)
    signal.signal(signal.SIGTERM, _terminate)
    with Store(path) as store:
        if store.contents.damaged_tail:
            line = store.contents.lines
            message = (
                f"{path}, line {line}: the last line was cut short; it is now in {path}.damaged and its cell runs again"
            )
            err.print(message, markup=False, highlight=False)
        try:
            settings = ExecutorSettings(
                data_root=data_root,
                download=download,
                timeout_seconds=cell_timeout,
                memory_limit_bytes=limit,
                pin=pin,
                preload=_modules_to_preload(sweep),
            )
            with make_executor(settings) as executor, _watcher(quiet) as watcher:
                summary = run_sweep(
                    *(sweep, store, executor, watcher),
                    retry_failed=retry_failed,
                    retries=retries,
                    frontier=not no_frontier,
                    jobs=jobs,
                )
        except KeyboardInterrupt:
            err.print(f"interrupted; every finished cell is in {path}, and the same command goes on from there")
            raise typer.Exit(_INTERRUPTED) from None
    out.print(f"{describe(summary)}; records in {path}", markup=False, highlight=False)
    note_lost_output()
    for method, changed in summary.settings_changed.items():
        err.print(
            f"warning: {method} and BP beside it ran under other settings of torch than other cells: {changed}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    if summary.ok == 0 or (strict and summary.ok < summary.cells):
        err.print(f"{summary.ok} of {summary.cells} cells are ok", markup=False, highlight=False)
        raise typer.Exit(EXIT_FAULT)


def print_left_out(sweep: Sweep) -> None:
    """Says which methods take none of the cells, and why."""
    for method, reason in sweep.left_out:
        err.print(f"left out: {method}: {reason}", markup=False, highlight=False)


def _modules_to_preload(sweep: Sweep) -> tuple[str, ...]:
    """What loading the data needs beyond torch, so that it is loaded once and not in each cell."""
    rows = {cell.dataset: load_dataset_row(cell.dataset) for cell in sweep.cells}
    return tuple(sorted({module for row in rows.values() for module in row.preload}))


def _print_cells(sweep: Sweep) -> None:
    for cell in sweep.cells:
        out.print(f"{cell.id} {label(cell)} ({', '.join(cell.passes)})", markup=False, highlight=False)
    out.print(f"{len(sweep.cells)} cells")


@contextlib.contextmanager
def _watcher(quiet: bool) -> Iterator[Watcher]:
    """A bar on a terminal, lines elsewhere, nothing if ``quiet``."""
    if quiet:
        yield Watcher()
    elif err.is_terminal:
        with BarWatcher(err) as bar:
            yield bar
    else:
        yield LineWatcher(out)


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
