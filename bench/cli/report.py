"""``sid-bench report``: makes a page of results files."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.console import err, out
from bench.store.text_file import standard_stream


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
    console = err if standard_stream(path) is sys.stdout else out  # a page on standard output stays alone there
    if not quiet:
        cost = [column for column in summary.columns if "accuracy" not in column and "minus" not in column]
        _print_table(console, summary[cost])  # in two parts, so that a terminal of 80 columns shows them whole
        if len(cost) < len(summary.columns):
            # Network, layout and method again, so that each row says what it is about.
            _print_table(console, summary[[*cost[:3], *summary.columns[len(cost) :]]])
    console.print(str(path.resolve()), markup=False, highlight=False)


def _print_table(console: Console, summary: Any) -> None:
    """Prints the methods that have any number in ``summary``, one table per network; its layout is in the title."""
    for (network, layout), rows in summary.groupby(["network", "layout"], sort=False):
        title = str(network) if str(network).startswith(str(layout)) else f"{network} ({layout})"
        table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
        for column in summary.columns[2:]:
            # One word per line, so that the numbers keep to theirs on a terminal of 80 columns.
            table.add_column(str(column).replace(" ", "\n").replace("/\n", "/ ").replace("[95\n", "[95 "), no_wrap=True)
        for row in rows.itertuples(index=False):
            texts = ["-" if value == "not measured" else _in_lines(str(value)) for value in row[2:]]
            if set(texts[1:]) != {"-"}:
                table.add_row(*map(Text, texts))
        if table.row_count:
            console.print(table)
            console.print()


def _in_lines(text: str) -> str:
    """Return a number with its interval, its verdict and its sample each on a line of its own."""
    return text.replace("] ", "]\n").replace(" (", "\n(").replace(", no", ",\nno").replace("s, ", "s,\n")
