"""The command line: ``sid-bench run | plan | report | doctor | list``."""

import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from bench.cli.plan_table import print_rows
from bench.cli.progress import BarWatcher, LineWatcher, describe
from bench.config.catalog import DATASETS, NETWORKS
from bench.config.cell import Cell
from bench.config.methods import load_method, method_names
from bench.config.sweep import Sweep, load_sweep, parse_override, suite_names
from bench.errors import BenchError, ConfigError, unknown
from bench.execute.executor import ExecutorSettings
from bench.execute.factory import make_executor
from bench.execute.run import Watcher, run_sweep
from bench.machine.doctor import checks_table, diagnose
from bench.machine.system import this_system
from bench.plan.rows import budget_rows, grid_rows, to_csv
from bench.store.file import Store
from bench.store.text_file import write_text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measures what training without global backpropagation costs and gives: SID against BP.",
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

P = ParamSpec("P")

_INTERRUPTED = 130


def main() -> None:
    """The entry point of ``sid-bench``."""
    app()


def _friendly(command: Callable[P, None]) -> Callable[P, None]:
    """Turns our errors into a message and exit code 2."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except BenchError as error:
            err.print(f"error: {error}", markup=False, highlight=False, style="red")
            raise typer.Exit(2) from None

    return wrapped


@app.command()
@_friendly
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name (see 'list'), or a .toml file.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Results file to append to. [default: results/SUITE.jsonl]")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="AXIS=VALUE,...", help="Replace an axis of the suite; may be given often."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="AXIS=VALUE,...", help="Keep the cells that have one of the values; may be given often."
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Fresh processes for each latency, as --set processes=N.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Directory with data sets, as torchvision lays them out, or image folders.")
    ] = None,
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and measure nothing.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors and the summary only.")] = False,
) -> None:
    """Measure the cells of a suite that the results file does not hold yet.

    Each cell runs in a process of its own and its record is stored at once, so a run may be stopped at any time and
    taken up again with the same command. A cell that runs out of memory, takes too long or crashes is a record, too;
    once one has run out of memory, larger ones of the same kind are recorded as skipped.
    """
    given = overrides or []
    for axis, value in (("threads", threads), ("ranks", ranks), ("processes", processes)):
        given = _with_option(given, axis, value)
    sweep = load_sweep(suite, given, only or [])
    limit = _parse_bytes("--memory-limit", memory_limit) if memory_limit else None
    if dry_run:
        _print_cells(sweep)
        return
    path = out_file or Path("results") / f"{sweep.name}.jsonl"
    signal.signal(signal.SIGTERM, _terminate)
    with Store(path) as store:
        if store.contents.damaged_tail:
            err.print(f"{path}: the last line was cut short; it is now in {path}.damaged and its cell runs again")
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
                )
        except KeyboardInterrupt:
            err.print(f"interrupted; every finished cell is in {path}, and the same command goes on from there")
            raise typer.Exit(_INTERRUPTED) from None
    out.print(f"{describe(summary)}; records in {path}", markup=False, highlight=False)


@app.command()
@_friendly
def plan(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name (see 'list'), or a .toml file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="AXIS=VALUE,...", help="Replace an axis of the suite; may be given often."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only", metavar="AXIS=VALUE,...", help="Keep the cells that have one of the values; may be given often."
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Instead, find the largest batch whose total bytes fit, as in 8GiB.")
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Also write the rows to this file, as CSV.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Also draw the largest batch against depth, as FILE.svg; needs --budget.")
    ] = None,
    round_to: Annotated[
        int, typer.Option(min=1, help="Round each storage up to so many bytes; CUDA's caching allocator takes 512.")
    ] = 1,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: as many as there are usable cores]")
    ] = None,
) -> None:
    """Predict the bytes of a suite's cells, exactly, without running them.

    Every cell is planned, whatever its passes, and once for all that memory does not depend on, as seeds and noise. A
    method that needs the contents of a tensor cannot be planned; its cells say so.
    """
    limit = _parse_bytes("--budget", budget) if budget is not None else None
    if figure is not None and (limit is None or figure.suffix != ".svg"):
        raise ConfigError(f"--figure {figure}; legal: a file that ends in .svg, together with --budget")
    cells = load_sweep(suite, overrides or [], only or []).cells

    def follow(answers: Iterator[Any], number: int) -> Iterable[Any]:
        return track(answers, "planning", number, console=err, transient=True, disable=not err.is_terminal)

    rows = (
        grid_rows(cells, round_to, jobs, follow) if limit is None else budget_rows(cells, limit, round_to, jobs, follow)
    )
    print_rows(out, rows)
    for row in rows:
        if row["message"] is not None:
            err.print(f"{row['method']} depth {row['depth']}: {row['message']}", markup=False, highlight=False)
    if out_file is not None:
        write_text(out_file, to_csv(rows))
    if figure is not None:
        from bench.plan.figure import largest_batch_svg  # pandas and seaborn take a second to load

        write_text(figure, largest_batch_svg(rows, str(budget)))


@app.command()
@_friendly
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results files.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The page to write. [default: reports/FIRST_FILE.html]")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Also write each figure to this directory, as SVG.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Also write the summary table to this file.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the page's path only.")] = False,
) -> None:
    """Turn results files into one self-contained HTML page that compares every method with BP."""
    from bench.report import write_report  # pandas and seaborn take a second to load

    path = out_file or Path("reports") / f"{files[0].stem}.html"
    summary = write_report(files, path, figures, markdown)
    if not quiet:
        cost = [column for column in summary.columns if "accuracy" not in column and "minus" not in column]
        _print_table(summary[cost])  # in two parts, so that a terminal of 80 columns shows them whole
        if len(cost) < len(summary.columns):
            _print_table(summary[[*cost[:3], *summary.columns[len(cost) :]]])  # what a row is of, and the rest
    out.print(str(path.resolve()), markup=False, highlight=False)


@app.command()
@_friendly
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 if any check warns.")] = False,
) -> None:
    """Check this machine for what makes timings unsteady, and say what to do about it.

    Reads only, needs no root. Each record of a run keeps what was found to warn of while its cell ran.
    """
    checks = diagnose(this_system())
    if as_json:
        text = json.dumps([dataclasses.asdict(check) for check in checks], indent=2)
        out.print(text, markup=False, highlight=False)
    else:
        out.print(checks_table(checks), soft_wrap=False)
    if strict and any(check.verdict == "warn" for check in checks):
        raise typer.Exit(1)


@app.command("list")
@_friendly
def list_(
    what: Annotated[
        str | None, typer.Argument(help="suites, methods, networks, datasets or axes. [default: all of them]")
    ] = None,
) -> None:
    """List what can be named: suites, methods, networks, data sets, axes."""
    listings: dict[str, Callable[[], dict[str, str]]] = {
        "suites": lambda: {name: _describe_suite(load_sweep(name)) for name in suite_names()},
        "methods": lambda: {name: load_method(name).SUMMARY for name in method_names()},
        "networks": lambda: dict(NETWORKS),
        "datasets": lambda: {name: info.summary for name, info in DATASETS.items()},
        "axes": lambda: {name: str(info.description) for name, info in Cell.model_fields.items()},
    }
    if what is not None and what not in listings:
        raise ConfigError(unknown("listing", what, listings))
    for name in [what] if what else listings:
        table = Table(title=name, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
        for entry, text in listings[name]().items():
            table.add_row(entry, text)
        out.print(table)


def _with_option(overrides: list[str], axis: str, value: int | None) -> list[str]:
    """The overrides and what the option named as ``axis`` means among them; ConfigError where they contradict it."""
    if value is None:
        return overrides
    for overridden, values in map(parse_override, overrides):
        if overridden == axis and values != [value]:
            given = ",".join(map(str, values))
            raise ConfigError(f"--{axis} {value} and --set {axis}={given} differ; give one of them")
    return [*overrides, f"{axis}={value}"]


def _modules_to_preload(sweep: Sweep) -> tuple[str, ...]:
    """The modules that load the sweep's data, so that they are imported once and not in each cell."""
    kinds = {cell.dataset.partition(":")[0] for cell in sweep.cells}
    needs_torchvision = any(DATASETS[kind].torchvision_name for kind in kinds)
    return ("sklearn.datasets",) * ("digits" in kinds) + ("torchvision",) * needs_torchvision


def _describe_suite(sweep: Sweep) -> str:
    return f"{sweep.description} ({len(sweep.cells)} cells)"


def _print_cells(sweep: Sweep) -> None:
    for cell in sweep.cells:
        out.print(f"{cell.id} {cell.label()} ({', '.join(cell.passes)})", markup=False, highlight=False)
    out.print(f"{len(sweep.cells)} cells")


def _print_table(summary: Any) -> None:
    """Prints the methods that have any number in ``summary``, a table a network; its layout is in the title."""
    for (network, layout), rows in summary.groupby(["network", "layout"], sort=False):
        title = str(network) if str(network).startswith(str(layout)) else f"{network} ({layout})"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in summary.columns[2:]:
            # A word a line, so that the numbers keep to theirs on a terminal of 80 columns.
            table.add_column(str(column).replace(" ", "\n").replace("/\n", "/ ").replace("[95\n", "[95 "), no_wrap=True)
        for row in rows.itertuples(index=False):
            texts = ["-" if value == "not measured" else str(value).replace("] noisy", "]\nnoisy") for value in row[2:]]
            if set(texts[1:]) != {"-"}:
                table.add_row(*map(Text, texts))
        if table.row_count:
            out.print(table)
            out.print()


@contextlib.contextmanager
def _watcher(quiet: bool) -> Any:
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


def _parse_bytes(option: str, text: str) -> int:
    """``512MiB`` or ``2GB`` in bytes."""
    units = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
    for unit, factor in sorted(units.items(), key=lambda item: -len(item[0])):
        if text.endswith(unit):
            with contextlib.suppress(ValueError):
                size = float(text.removesuffix(unit)) * factor
                if 1 <= size < sys.maxsize:
                    return int(size)
    raise ConfigError(f"{option} {text!r}; legal: a number above 0 and one of {', '.join(units)}, as in 2GiB")
