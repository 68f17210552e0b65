"""``sid-bench trace``: where the bytes of one step of a cell are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from bench.cli.chosen_cell import choose_cell
from bench.cli.console import err, out
from bench.cli.measure import executor_for, interruptible
from bench.cli.options import (
    CellTimeout,
    DataRoot,
    Download,
    MemoryLimit,
    Only,
    Overrides,
    Pin,
    Quiet,
    Threads,
    parse_bytes,
    with_axis,
)
from bench.cli.table import print_whole
from bench.config.cell import Cell
from bench.config.label import label
from bench.config.methods import is_compiled
from bench.errors import BenchError, ConfigError
from bench.execute.executor import ExecutorSettings
from bench.store.text_file import refuse_overlaps, write_bytes, write_text

if TYPE_CHECKING:
    from bench.analysis.step_trace.breakdown import Breakdown
    from bench.store.record import Record
    from bench.store.traced_step import TracedStep

_PHASES = {"f": "forward", "b": "backward", "s": "update", "w": "wait"}


def trace(
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="[CELL]", help="FILE.jsonl#ID, SUITE#ID, or a suite with one cell. \\[default: what --set says]"
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where files are written. \\[default: traces/ID]")
    ] = None,
    overrides: Overrides = None,
    only: Only = None,
    detail: Annotated[
        bool, typer.Option("--detail", help="Print a row for every submodule, not only for the parts of the network.")
    ] = False,
    data_root: DataRoot = None,
    download: Download = False,
    cell_timeout: CellTimeout = 1800,
    memory_limit: MemoryLimit = None,
    threads: Threads = None,
    pin: Pin = False,
    quiet: Quiet = False,
) -> None:
    """Run one step of a cell, and show where its bytes are: by module, by category and over time.

    The table is of the moment of the peak, and sums to the bytes that a run measures. The folder gets the same and more
    as JSON and CSV, a memory snapshot for pytorch.org/memory_viz, and a Chrome trace for ui.perfetto.dev.

    Exit codes: 0 done; 2 refused, or the step failed; 130 interrupted.
    """
    chosen = choose_cell(cell, with_axis(overrides or [], "threads", threads), only or [])
    _refuse_untraceable(chosen.cell)
    place = folder or Path("traces") / chosen.cell.id
    if place.exists() and not place.is_dir():
        raise ConfigError(f"--out {place} is no folder; legal: a folder, which need not exist")
    paths = {name: place / name for name in ("breakdown.json", "at_peak.csv", "over_time.csv")}
    paths |= {name: place / name for name in ("memory_snapshot.pickle", "trace.json")}
    refuse_overlaps([("--out", path) for path in paths.values()], chosen.files)
    settings = ExecutorSettings(
        data_root=data_root,
        download=download,
        timeout_seconds=cell_timeout,
        memory_limit_bytes=parse_bytes("--memory-limit", memory_limit) if memory_limit else None,
        pin=pin,
    )
    with interruptible(), executor_for([chosen.cell], settings) as executor:
        answer = executor.trace(chosen.cell)
    if answer.traced_step is None:
        raise BenchError(f"{label(chosen.cell)}: {answer.status}: {answer.message}")
    _write_and_show(chosen.cell, chosen.record, answer.traced_step, paths, detail=detail, quiet=quiet)


def _refuse_untraceable(cell: Cell) -> None:
    if is_compiled(cell):
        raise ConfigError(
            f"{label(cell)} is compiled, and the instrument does not see into compiled code; legal: methods that are "
            "not compiled, and compile = false"
        )
    if cell.ranks > 1:
        raise ConfigError(f"ranks = {cell.ranks}; legal for a trace: 1, as by --set ranks=1")


def _write_and_show(
    cell: Cell,
    record: "Record | None",
    traced: "TracedStep",
    paths: dict[str, Path],
    *,
    detail: bool,
    quiet: bool,
) -> None:
    from bench.analysis.step_trace.breakdown import break_down, course_csv, rows_csv, to_json
    from bench.analysis.step_trace.chrome_trace import chrome_trace
    from bench.analysis.step_trace.memory_snapshot import dumped, snapshot_of

    breakdown = break_down(traced)
    about = {"id": cell.id, "cell": cell.model_dump(mode="json"), "label": label(cell)}
    about["memory"] = traced.memory.model_dump(mode="json", exclude={"timeline"})
    write_text(paths["breakdown.json"], json.dumps(to_json(breakdown, about), indent=1) + "\n")
    write_text(paths["at_peak.csv"], rows_csv(breakdown))
    write_text(paths["over_time.csv"], course_csv(breakdown))
    write_bytes(paths["memory_snapshot.pickle"], dumped(snapshot_of(traced)))
    write_text(paths["trace.json"], json.dumps(chrome_trace(traced, label(cell))) + "\n")
    if not quiet:
        out.print(label(cell), markup=False, highlight=False, soft_wrap=True)
        _print_wholes(breakdown, detail)
        _print_notes(traced, record)
    out.print(str(paths["trace.json"].parent), markup=False, highlight=False)


def _print_wholes(breakdown: "Breakdown", detail: bool) -> None:
    from bench.analysis.step_trace.breakdown import CREATED, HELD

    moment = "" if breakdown.phase_at_peak is None else f" ({_PHASES[breakdown.phase_at_peak]} phase)"
    at = f"after {breakdown.operators_at_peak} of {breakdown.operators} operators{moment}"
    table = breakdown.table(by_part=not detail)
    for title, categories in (
        (f"Activation bytes at the peak, {at}", CREATED),
        ("Bytes that the step holds throughout", HELD),
    ):
        used = [category for category in categories if any(row[category] for row in table.values())]
        shown = Table(box=None, padding=(0, 2, 0, 0))
        shown.add_column("module", no_wrap=True)
        for category in (*used, "sum"):
            shown.add_column(category.replace(" ", "\n"), no_wrap=True, justify="right")
        rows = [(name, [row[category] for category in used]) for name, row in table.items()]
        rows = [row for row in rows if any(row[1])]
        for name, sizes in rows:
            shown.add_row(Text(name), *(f"{size:,}" if size else "-" for size in sizes), f"{sum(sizes):,}")
        sums = [sum(column) for column in zip(*(sizes for _, sizes in rows), strict=True)]
        shown.add_section()
        shown.add_row("sum", *(f"{size:,}" for size in sums), f"{sum(sums):,}")
        out.print()
        out.print(f"{title}:", highlight=False, soft_wrap=True)
        print_whole(out, shown)


def _print_notes(traced: "TracedStep", record: "Record | None") -> None:
    memory = traced.memory
    lines = [
        f"peak of activations {memory.peak_activation_bytes:,} bytes, of all bytes {memory.peak_total_bytes:,} bytes"
    ]
    if memory.allocator is not None:
        lines.append(
            "workspaces inside operators, by the allocator and not in the table: "
            f"{memory.allocator.workspace_bytes:,} bytes"
        )
    out.print()
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    stored = record.memory if record is not None else None
    if stored is not None and stored.peak_activation_bytes != memory.peak_activation_bytes:
        err.print(
            f"warning: the record holds {stored.peak_activation_bytes:,} bytes at the peak: other code or versions",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
