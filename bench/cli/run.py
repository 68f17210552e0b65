"""``sid-bench run``: measures the cells of a suite."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import err, out
from bench.cli.measure import (
    RunSettings,
    fail_without_results,
    follow_job,
    interruptible,
    job_place,
    measure,
    print_cells,
    print_left_out,
    report_settings,
    sweep_of,
)
from bench.cli.options import (
    CellTimeout,
    Cluster,
    ClusterSet,
    DataRoot,
    Download,
    DryRun,
    Executor,
    MemoryLimit,
    NoFrontier,
    Only,
    Overrides,
    Pin,
    Processes,
    Quiet,
    Ranks,
    Retries,
    RetryFailed,
    Strict,
    Suite,
    Threads,
    cluster_of,
    parse_bytes,
)
from bench.cli.progress import describe
from bench.execute.executors import LOCAL
from bench.execute.jobs import check_jobs, usual_jobs
from bench.machine.system import this_system
from bench.store.text_file import refuse_overlaps


def run(
    suite: Suite = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Results file to append to. \\[default: results/SUITE.jsonl]")
    ] = None,
    overrides: Overrides = None,
    only: Only = None,
    processes: Processes = None,
    data_root: DataRoot = None,
    download: Download = False,
    cell_timeout: CellTimeout = 1800,
    memory_limit: MemoryLimit = None,
    threads: Threads = None,
    ranks: Ranks = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cells that run at the same time, of those that are not timed, on one rank and on the CPU; each needs "
            "its threads set, as by --threads 1. Timed cells come after them, one at a time. \\[default: the CPUs that "
            "may be used, divided by the threads of a cell, at most 8; 1 where threads are not set]",
        ),
    ] = None,
    pin: Pin = False,
    executor: Executor = LOCAL,
    cluster: Cluster = None,
    cluster_set: ClusterSet = None,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    no_frontier: NoFrontier = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Measure the cells of a suite that the results file does not hold yet.

    Each cell runs in a process of its own and its record is stored at once, so a run may be stopped at any time and
    taken up again with the same command. A cell that runs out of memory, takes too long or crashes is a record, too;
    once one has run out of memory, larger ones of the same kind are recorded as skipped.

    Exit codes: 0 done; 1 done, but no cell is ok, or with --strict not every cell; 2 refused, or a record could not be
    stored; 130 interrupted.
    """
    sweep = sweep_of(suite, overrides or [], only or [], threads=threads, ranks=ranks, processes=processes)
    settings = RunSettings(
        data_root=data_root,
        download=download,
        timeout_seconds=cell_timeout,
        memory_limit_bytes=parse_bytes("--memory-limit", memory_limit) if memory_limit else None,
        pin=pin,
        retries=retries,
        retry_failed=retry_failed,
        frontier=not no_frontier,
        jobs=jobs or (usual_jobs(sweep.cells, this_system()) if executor == LOCAL else 1),
        executor=executor,
        cluster=cluster_of(executor, cluster, cluster_set or [], jobs or 1),
    )
    place = job_place(executor, sweep)
    follows = place is not None and place.rank > 0
    if not follows:
        print_left_out(sweep)
    if dry_run:
        if not follows:
            print_cells(sweep)
        return
    warning = check_jobs(sweep.cells, settings.jobs, pin, this_system())
    path = out_file or Path("results") / f"{sweep.name}.jsonl"
    refuse_overlaps([("--out", path)], [*sweep.files, *([] if cluster is None else [cluster])])
    with interruptible(path):
        if follows:
            follow_job(sweep, settings)
            return
        if warning is not None:
            err.print(f"warning: {warning}", markup=False, highlight=False, soft_wrap=True)
        summary = measure(sweep, path, settings, quiet=quiet)
    out.print(f"{describe(summary)}; records in {path}", markup=False, highlight=False)
    report_settings(summary)
    fail_without_results([summary], strict)
