"""``sid-bench claims``: what results files say of each claim."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.cli.console import err, out
from bench.cli.results_files import results_files

if TYPE_CHECKING:
    from bench.analysis.inference.rows import ClaimRow


def claims(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Results files, or quoted patterns: 'results/*.jsonl'."),
    ],
    claims_file: Annotated[
        Path | None, typer.Option("--claims", metavar="FILE.toml", help="Claims of your own. [default: the paper's]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdicts as JSON.")] = False,
) -> None:
    """Compute a verdict on each claim from results files, with the comparison that decides it.

    A verdict is supported, not supported (a control explains the effect), refuted, undecided or not measured.
    """
    from bench.analysis.files import read_files  # SciPy takes a moment to load
    from bench.analysis.inference.claim_file import load_claims
    from bench.analysis.inference.rows import claim_rows

    asked = load_claims(claims_file)
    _, records, warnings = read_files(results_files(files))
    rows = claim_rows(records, asked)
    for warning in warnings:
        err.print(f"warning: {warning}", markup=False, highlight=False)
    if as_json:
        out.print(json.dumps([asdict(row) for row in rows], indent=2), markup=False, highlight=False)
        return
    _print_table(out, rows)
    for row in rows:
        out.print(f"\n{row.name}: {row.sentence}\n  {row.verdict}: {row.reason}", markup=False, highlight=False)


def _print_table(console: Console, rows: "list[ClaimRow]") -> None:
    """Print one line for each claim, at the table's natural width."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("claim", "verdict", "effect [interval]", "sample", "margin", "controls"):
        table.add_column(Text(name), no_wrap=True)  # brackets in plain text would be markup
    for row in rows:
        cells = (row.name, row.verdict, row.effect, row.sample, row.margin, row.control_text)
        table.add_row(*map(Text, cells))
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    Console(file=console.file, width=max(needed, console.width)).print(table, crop=False)
