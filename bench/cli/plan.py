"""``sid-bench plan``: predicts the bytes of a suite's cells without running them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track

from bench.cli.console import EXIT_FAULT, err, out
from bench.cli.measure import print_left_out
from bench.cli.options import DataRoot, Only, Overrides, Suite, parse_bytes, refuse_other_than_svg
from bench.cli.plan_table import print_rows
from bench.config.sweep import load_sweep
from bench.errors import BenchError, ConfigError
from bench.plan.rows import budget_rows, grid_rows, to_csv
from bench.store.text_file import refuse_overlaps, write_text


def plan(
    suite: Suite = None,
    overrides: Overrides = None,
    only: Only = None,
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
        int | None, typer.Option(min=1, help="Processes. \\[default: as many as there are usable cores]")
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Predict the bytes of a suite's cells, exactly, without running them.

    Every cell is planned, whatever its passes, and once for all that memory does not depend on, as seeds and noise. A
    method that needs the contents of a tensor cannot be planned; its cells say so.

    Exit codes: 0 done; 1 done, but no cell could be planned, for several reasons; 2 refused, or failed for one reason.
    """
    limit = parse_bytes("--budget", budget) if budget is not None else None
    refuse_other_than_svg(figure, ", together with --budget")
    if figure is not None and limit is None:
        raise ConfigError(
            f"--figure {figure} without --budget; legal: a file that ends in .svg, together with --budget"
        )
    sweep = load_sweep(suite, overrides or [], only or [])
    outputs = [(name, path) for name, path in (("--out", out_file), ("--figure", figure)) if path is not None]
    refuse_overlaps(outputs, sweep.files)
    print_left_out(sweep)

    def follow(answers: Iterator[Any], number: int) -> Iterable[Any]:
        return track(answers, "planning", number, console=err, transient=True, disable=not err.is_terminal)

    if limit is None:
        rows = grid_rows(sweep.cells, round_to, jobs, follow, data_root)
    else:
        rows = budget_rows(sweep.cells, limit, round_to, jobs, follow, data_root)
    (reason, *others) = dict.fromkeys(row["message"] for row in rows)
    if reason is not None and not others:
        raise BenchError(f"no cell can be planned: {reason}")
    print_rows(out, rows)
    for row in rows:
        if row["message"] is not None:
            err.print(f"{row['method']} depth {row['depth']}: {row['message']}", markup=False, highlight=False)
    if out_file is not None:
        write_text(out_file, to_csv(rows))
    if figure is not None:
        from bench.plan.figure import largest_batch_svg  # pandas and seaborn take a second to load

        write_text(figure, largest_batch_svg(rows, str(budget)))
    if all(row["message"] is not None for row in rows):
        raise typer.Exit(EXIT_FAULT)
