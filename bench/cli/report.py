"""``sid-bench report``: makes a page of results files."""

import re
import sys
import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.browser import open_page
from bench.cli.console import err, out, warn
from bench.cli.report_progress import progress_of_report
from bench.cli.results_files import results_files
from bench.cli.table import print_whole
from bench.errors import ConfigError
from bench.store.text_file import is_special, standard_stream

_NO_BREAK = "\N{NO-BREAK SPACE}"
_WIDEST = 100  # of a line of an answer
_WIDTH = 15  # of a difference: "[-12.3, +12.3]"


def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Results files, or quoted patterns: 'results/*.jsonl'."),
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The page to write. \\[default: reports/FIRST_FILE.html]")
    ] = None,
    figures: Annotated[Path | None, typer.Option(help="Also write each figure to this directory, as SVG.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the answers and the summary table to this file, as Markdown.")
    ] = None,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The page's title. \\[default: the question of a suite of sid-bench]"),
    ] = None,
    claims_file: Annotated[
        Path | None,
        typer.Option("--claims", metavar="FILE.toml", help="Judge claims of your own. \\[default: the paper's]"),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show the page in a browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the page's path only.")] = False,
) -> None:
    """Turn results files into one self-contained HTML page that compares every method with BP."""
    from bench.report import write_report  # pandas and seaborn take a second to load
    from bench.report.answer_text import answer_lines

    if title is not None and not title.strip():
        raise ConfigError(f"--title {title!r}; legal: a text that can be seen")
    files = results_files(files)
    path = out_file or Path("reports") / f"{files[0].stem}.html"
    if open_ and (is_special(path) or standard_stream(path) is not None):
        raise ConfigError(f"--open: {path} is no file that a browser can show; legal: with --out FILE.html")
    results = files[0] if len(files) == 1 and not is_special(files[0]) else None
    warnings: list[str] = []
    with progress_of_report(quiet) as progress:
        written = write_report(files, path, figures, markdown, warnings.append, title, progress, claims_file, results)
    console = err if standard_stream(path) is sys.stdout else out  # a page on standard output stays alone there
    if not quiet:
        for answer in written.answers:
            console.print(
                answer_lines(answer, min(console.width, _WIDEST)), markup=False, highlight=False, soft_wrap=True
            )
            console.print()
        # In parts, so that a terminal of 80 columns shows them whole: costs, then each rate of label noise.
        for columns in _parts(list(written.summary.columns)):
            _print_summary(console, written.summary[columns])
        warn(warnings)
    console.print(str(path.resolve()), markup=False, highlight=False)
    if open_ and (reason := open_page(path)) is not None:
        err.print(f"the page was not opened: {reason}", markup=False, highlight=False)


def _parts(columns: list[str]) -> list[list[str]]:
    """Return the columns of the summary in parts, each after those that say what a row is about."""
    numbers = columns.index("method") + 1
    parts: dict[str, list[str]] = {}
    for column in columns[numbers:]:
        rate = column.split(", ")[1] if column.startswith(("accuracy, ", "minus BP's, ")) else "costs"
        parts.setdefault(rate, columns[:numbers]).append(column)
    return list(parts.values())


def _print_summary(console: Console, summary: Any) -> None:
    """Prints the methods that have any number in ``summary``, one table per cell, none of them cut."""
    for (network, layout, cell), rows in summary.groupby(["network", "layout", "cell"], sort=False):
        name = str(network) if str(network).startswith(str(layout)) else f"{network} ({layout})"
        table = Table(box=None, padding=(0, 2, 0, 0))
        shown = rows.loc[:, "method":]
        for column in shown.columns:
            # One word per line, so that the numbers keep to theirs on a terminal of 80 columns.
            table.add_column(str(column).replace(" ", "\n").replace("/\n", "/ ").replace("[95\n", "[95 "), no_wrap=True)
        for row in shown.itertuples(index=False):
            texts = ["-" if value == "not measured" else _in_lines(str(value)) for value in row]
            if set(texts[1:]) != {"-"}:
                table.add_row(*map(Text, texts))
        if table.row_count:
            console.print(f"{name}: {cell}", markup=False, highlight=False, soft_wrap=True)
            print_whole(console, table)
            console.print()


def _in_lines(text: str) -> str:
    """Return a latency ratio or a difference in lines: a number with its interval, its sample and its verdict."""
    if not text.startswith(("+", "-")):
        return text.replace("] (", "]\n(").replace(") noisy", ")\nnoisy")
    kept_together = re.sub(r"\[.*\]|\d+ (seed|image)s?", lambda found: found[0].replace(" ", _NO_BREAK), text)
    return "\n".join(textwrap.wrap(kept_together, _WIDTH, break_long_words=False)).replace(_NO_BREAK, " ")
