"""``sid-bench compare``: two results files, or two values of an axis, cell by cell."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.analysis.words import numbered
from bench.cli.compare_sources import files_of, read_source, sides_of
from bench.cli.console import EXIT_FAULT, err, out, warn
from bench.cli.options import refuse_other_than_svg
from bench.cli.table import print_rows
from bench.config.toml_file import read_toml
from bench.errors import ConfigError, unknown
from bench.store.text_file import refuse_overlaps, write_text

if TYPE_CHECKING:
    from bench.analysis.compare import Compared, Thresholds

_NOTHING = 2


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="A B | FILE --by AXIS=A,B | FILE... --pairs",
            help="Results files, the baseline first; FILE:SUITE takes the records of one suite in it. A quoted pattern "
            "stands for the one file that it matches, or with --pairs for all of them.",
        ),
    ],
    by: Annotated[
        str | None, typer.Option(metavar="AXIS=A,B", help="Compare the cells of one file that differ in this axis.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Compare each file with every later one, and print how many changed.")
    ] = False,
    thresholds_file: Annotated[
        Path | None,
        typer.Option("--thresholds", metavar="FILE.toml", help="Changes that do not matter, with the keys below."),
    ] = None,
    bytes_percent: Annotated[
        float | None, typer.Option("--bytes", min=0, help="Change of bytes that does not matter, %. \\[default: 0]")
    ] = None,
    time_percent: Annotated[
        float | None, typer.Option("--time", min=0, help="Change of times that does not matter, %. \\[default: 3]")
    ] = None,
    accuracy_points: Annotated[
        float | None,
        typer.Option("--accuracy", min=0, help="Change of accuracies that does not matter, points. \\[default: 0.5]"),
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Also list what is the same.")] = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the result as Markdown, for a pull request.")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the result as a page.")] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Also draw how much each time changed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with code 1 also if something is not measured, or a cell or pass is in one run only."
        ),
    ] = False,
) -> None:
    """Compare two runs cell by cell: better, worse, same or inconclusive.

    Bytes are compared exactly, times as ratios to what was timed beside them, accuracies paired by seed and image.

    Exit codes: 0 nothing became worse; 1 something did, or --strict found what was not compared; 2 refused, the two
    have nothing to compare, or a file cannot be written.
    """
    from bench.analysis.compare import compare as compare_records  # SciPy takes a moment to load
    from bench.report.comparison import to_json

    refuse_other_than_svg(figure)
    thresholds = _thresholds(thresholds_file, bytes=bytes_percent, time=time_percent, accuracy=accuracy_points)
    if pairs:
        for name, is_given in (
            *(("--by", by), ("--html", html), ("--figure", figure), ("--json", as_json), ("--all", show_all)),
        ):
            if is_given:
                raise ConfigError(f"{name} with --pairs; legal: thresholds, --markdown and --strict")
        _compare_pairs(sources, thresholds, markdown, thresholds_file, strict)
        return
    names, sides, axis, files = sides_of(sources, by)
    wanted = (("--markdown", markdown), ("--html", html), ("--figure", figure))
    outputs = [(name, path) for name, path in wanted if path is not None]
    refuse_overlaps(outputs, [*files, *([thresholds_file] if thresholds_file else [])])
    compared = compare_records(*sides, thresholds, axis, names)
    if as_json:
        out.print(to_json(compared, names), markup=False, highlight=False)
    else:
        _print(compared, names, show_all)
    if not compared.changes:
        err.print(f"{names[0]} and {names[1]} {compared.in_common}", markup=False, highlight=False)
    # After all that is printed, which a file that cannot be written must not hide.
    _write(compared, names, thresholds, sources, markdown=markdown, html=html, figure=figure)
    if not compared.changes:
        raise typer.Exit(_NOTHING)
    _end([(names, compared)], strict)


def _write(
    compared: "Compared",
    names: tuple[str, str],
    thresholds: "Thresholds",
    sources: Sequence[str],
    *,
    markdown: Path | None,
    html: Path | None,
    figure: Path | None,
) -> None:
    """Writes the result to the files that are asked for."""
    from bench.report.comparison import short_names, to_markdown

    if markdown is not None:
        write_text(markdown, to_markdown(compared, names))
    if html is not None:
        from bench.report.comparison_page import comparison_page  # jinja2 takes a moment to load

        write_text(html, comparison_page(compared, names, thresholds, sources))
    if figure is not None:
        from bench.report.figures.changes import changes_document  # matplotlib takes a moment to load

        drawn = changes_document(compared.changes, thresholds.time, short_names(names))
        if drawn is None:
            warn([f"--figure {figure} was not written: no time was compared"])
        else:
            write_text(figure, drawn)


def _end(compared: Sequence[tuple[tuple[str, str], "Compared"]], strict: bool) -> None:
    """Ends the command with code 1 if anything became worse, or with ``strict`` if something was not compared."""
    from bench.report.comparison import gaps

    missing = list(dict.fromkeys(text for names, one in compared for text in gaps(one, names))) if strict else []
    if missing:
        err.print(f"--strict: {'; '.join(missing)}", markup=False, highlight=False, soft_wrap=True)
    if missing or any(one.has_regressed for _, one in compared):
        raise typer.Exit(EXIT_FAULT)


def _compare_pairs(
    sources: Sequence[str], thresholds: "Thresholds", markdown: Path | None, thresholds_file: Path | None, strict: bool
) -> None:
    """Prints how many changes of each kind there are between each run and every later one."""
    from bench.analysis.compare import compare as compare_records
    from bench.report.comparison import PAIR_COLUMNS, pair_rows, pairs_to_markdown, short_names

    expanded = files_of(sources)
    if len(expanded) < 2:
        raise ConfigError(f"{numbered(len(expanded), 'results file')} with --pairs; legal: two or more")
    runs = [(name, *read_source(source)) for name, source in zip(short_names(expanded), expanded, strict=True)]
    if markdown is not None:
        refuse_overlaps([("--markdown", markdown)], [*(file for _, file, _ in runs), *filter(None, [thresholds_file])])
    compared = [
        ((first, second), compare_records(before, after, thresholds, names=(first, second)))
        for (first, _, before), (second, _, after) in combinations(runs, 2)
    ]
    rows = pair_rows(compared)
    print_rows(out, PAIR_COLUMNS, rows)
    is_empty = not any(one.changes for _, one in compared)
    if is_empty:
        reasons = dict.fromkeys(
            f"{names[0]} and {names[1]} {one.in_common}" for names, one in compared if one.shares_cells
        )
        for reason in reasons or ["no two of them have a cell in common"]:
            err.print(reason, markup=False, highlight=False)
    if markdown is not None:
        write_text(markdown, pairs_to_markdown(rows))
    if is_empty:
        raise typer.Exit(_NOTHING)
    _end(compared, strict)


def _thresholds(file: Path | None, **given: float | None) -> "Thresholds":
    from bench.analysis.compare import Thresholds

    legal = [field.name for field in fields(Thresholds)]
    for name, number in given.items():
        if number is not None and not 0 <= number <= sys.float_info.max:
            raise ConfigError(f"--{name} {number}; legal: a finite number of 0 or more")
    values: dict[str, Any] = {}
    if file is not None:
        values = read_toml(file, f"--thresholds {file}")
        for name, value in values.items():
            if name not in legal:
                raise ConfigError(f"{file}: {unknown('key', name, legal)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
                raise ConfigError(f"{file}: {name} = {value!r}; legal: a number of 0 or more")
    return Thresholds(**{**values, **{name: value for name, value in given.items() if value is not None}})


def _print(compared: "Compared", names: tuple[str, str], show_all: bool) -> None:
    from bench.report.comparison import COLUMNS, change_rows, headline

    out.print(headline(compared, names), markup=False, highlight=False, soft_wrap=True)
    for note in compared.notes:
        err.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    rows = change_rows(compared, show_all=show_all)
    if rows:
        print_rows(out, COLUMNS, rows)
