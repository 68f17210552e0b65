"""``sid-bench repeat``: measures the latency of a suite again and again, and says whether the runs agree."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench.analysis.files import tail_warnings
from bench.analysis.words import numbered
from bench.cli.console import err, out, warn
from bench.cli.measure import (
    RunSettings,
    fail_without_results,
    interruptible,
    measure,
    print_cells,
    print_left_out,
    report_settings,
    sweep_of,
)
from bench.cli.options import (
    CellTimeout,
    DataRoot,
    Download,
    DryRun,
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
    Threads,
    parse_bytes,
)
from bench.cli.progress import describe
from bench.config.check import changed
from bench.config.sweep import Sweep
from bench.errors import ConfigError
from bench.execute.watcher import Summary
from bench.store.file import read_records
from bench.store.record import Record
from bench.store.text_file import refuse_overlaps, write_text

# What may be given with --from, which measures nothing.
_OF_EXISTING_RUNS = {"targets", "existing", "folder", "as_json"}


def repeat(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUITE] | --from FILE...",
            help="A suite's name (see 'list'), or a .toml file; with --from, results files, one per run. \\[default: "
            "one cell per method that takes what --set says]",
        ),
    ] = None,
    existing: Annotated[
        bool, typer.Option("--from", help="Measure nothing: compare the runs in these results files.")
    ] = False,
    times: Annotated[int, typer.Option(min=2, metavar="N", help="How often.")] = 7,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Where the runs go, as 1.jsonl, 2.jsonl and so on, and summary.json and summary.md. \\[default: "
            "results/repeat/SUITE; with --from, nothing is written]",
        ),
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
    pin: Pin = False,
    retries: Retries = 1,
    retry_failed: RetryFailed = False,
    no_frontier: NoFrontier = False,
    strict: Strict = False,
    dry_run: DryRun = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON, and the progress as errors.")] = (
        False
    ),
    quiet: Quiet = False,
) -> None:
    """Measure the latency of a suite several times, and say whether the intervals of the runs agree.

    Cells that have the latency pass are measured with that pass alone, each run into a results file of its own. A run
    that is complete is not measured again: after an interruption, the same command goes on. Then the result is printed:
    how many intervals hold the grand median of their cell, and how many pairs of runs differ.

    Exit codes: 0 done; 1 done, but in a run no cell is ok, or with --strict not every cell; 2 refused, or a record
    could not be stored; 130 interrupted.
    """
    if existing:
        _refuse_measuring_options(context)
        _compare_existing([Path(target) for target in targets or []], folder, as_json)
        return
    if len(targets or []) > 1:
        raise ConfigError(f"{len(targets or [])} suites: {', '.join(targets or [])}; legal: one, or --from FILE...")
    suite = targets[0] if targets else None
    settings = RunSettings(
        data_root=data_root,
        download=download,
        timeout_seconds=cell_timeout,
        memory_limit_bytes=parse_bytes("--memory-limit", memory_limit) if memory_limit else None,
        pin=pin,
        retries=retries,
        retry_failed=retry_failed,
        frontier=not no_frontier,
    )
    sweep = _latency_of(sweep_of(suite, overrides or [], only or [], threads=threads, ranks=ranks, processes=processes))
    print_left_out(sweep)
    if dry_run:
        print_cells(sweep)
        return
    place = folder or Path("results") / "repeat" / sweep.name
    files = [place / f"{number}.jsonl" for number in range(1, times + 1)]
    outputs = [*files, *_summaries(place)]
    refuse_overlaps([("the output", file) for file in outputs], sweep.files)
    summaries: list[Summary] = []
    console = err if as_json else out
    with interruptible(place):
        for number, file in enumerate(files, start=1):
            summaries.append(measure(sweep, file, settings, console, quiet=quiet))
            text = f"run {number} of {times}: {describe(summaries[-1])}; records in {file}"
            console.print(text, markup=False, highlight=False)
            report_settings(summaries[-1])
        ids = {cell.id for cell in sweep.cells}
        runs = [[record for id_, record in read_records(file).latest.items() if id_ in ids] for file in files]
        fail_without_results([summary for summary in summaries if summary.ok == 0], strict)
        _tell(runs, files, place, as_json)
    fail_without_results(summaries, strict)


def _latency_of(sweep: Sweep) -> Sweep:
    """The cells of ``sweep`` that have the latency pass, with that pass alone."""
    timed = dict.fromkeys(changed(cell, passes=["latency"]) for cell in sweep.cells if "latency" in cell.passes)
    if not timed:
        raise ConfigError(f"no cell of {sweep.name} has the latency pass; legal: a suite in which one has it")
    return replace(sweep, cells=tuple(timed))


def _refuse_measuring_options(context: typer.Context) -> None:
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        is_given = source is not None and source.name == "COMMANDLINE"
        if is_given and parameter.name not in _OF_EXISTING_RUNS:
            raise ConfigError(f"{parameter.opts[0]} with --from, which measures nothing; legal with it: --out, --json")


def _compare_existing(files: Sequence[Path], folder: Path | None, as_json: bool) -> None:
    if len(files) < 2:
        raise ConfigError(f"{numbered(len(files), 'results file')} after --from; legal: two or more, one per run")
    contents = [read_records(file) for file in files]
    warn([text for pair in zip(files, contents, strict=True) for text in tail_warnings(*pair)])
    for index, file in enumerate(files):
        if any(file.samefile(other) for other in files[:index]):
            raise ConfigError(f"{file} is given twice; legal: a file for each run")
    if folder is not None:
        refuse_overlaps([("the output", file) for file in _summaries(folder)], files)
    _tell([list(content.latest.values()) for content in contents], files, folder, as_json)


def _summaries(folder: Path) -> list[Path]:
    """The files that the result is written to.

    Raises:
        ConfigError: ``folder`` is something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder} is not a folder; legal: a folder, which may not exist yet")
    return [folder / "summary.json", folder / "summary.md"]


def _tell(runs: Sequence[Sequence[Record]], files: Sequence[Path], folder: Path | None, as_json: bool) -> None:
    """Prints how well the runs agree, and writes it to ``folder`` if there is one."""
    from bench.analysis.repetition import repetition  # NumPy and pandas take a moment to load
    from bench.report.repetition import NOTE, agreement_rows, headline, to_json, to_markdown, worst_rows

    result = repetition(runs)
    sources = [str(file) for file in files]
    if folder is not None:
        for path, text in zip(
            _summaries(folder), (to_json(result, sources), to_markdown(result, sources)), strict=True
        ):
            write_text(path, text)
    if as_json:
        out.print(to_json(result, sources), end="", markup=False, highlight=False)
        return
    out.print(headline(result), markup=False, highlight=False)
    for rows in (agreement_rows(result), worst_rows(result)):
        if len(rows) > 1:
            out.print()
            out.print(_table(rows))
    out.print()
    out.print(NOTE, markup=False, highlight=False)
    if folder is not None:
        out.print(f"written to {' and '.join(map(str, _summaries(folder)))}", markup=False, highlight=False)


def _table(rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in rows[0]:
        table.add_column(Text(heading))
    for row in rows[1:]:
        table.add_row(*map(Text, row))
    return table
