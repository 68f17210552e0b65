"""``sid-bench compare``: two results files, or two values of an axis, cell by cell."""

import sys
from collections.abc import Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.console import EXIT_FAULT, err, out, warn
from bench.cli.results_files import results_files
from bench.cli.table import print_rows
from bench.config.axes import axes
from bench.config.sweep import parse_override, value_text
from bench.config.toml_file import read_toml
from bench.errors import ConfigError, unknown
from bench.store.text_file import refuse_overlaps, write_text

if TYPE_CHECKING:
    from bench.analysis.compare import Compared, Thresholds
    from bench.store.record import Record

_NOTHING = 2


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="A B | FILE --by AXIS=A,B | FILE... --pairs",
            help="Results files, the baseline first; FILE:SUITE takes the records of one suite in it.",
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
) -> None:
    """Compare two runs cell by cell: better, worse, same or inconclusive.

    Bytes are compared exactly, times as ratios to what was timed beside them, accuracies paired by seed and image.

    Exit codes: 0 nothing became worse; 1 something did; 2 refused, or the two have nothing to compare.
    """
    from bench.analysis.compare import compare as compare_records  # SciPy takes a moment to load
    from bench.report.comparison import short_names, to_json, to_markdown

    thresholds = _thresholds(thresholds_file, bytes=bytes_percent, time=time_percent, accuracy=accuracy_points)
    if pairs:
        for name, is_given in (
            *(("--by", by), ("--html", html), ("--figure", figure), ("--json", as_json), ("--all", show_all)),
        ):
            if is_given:
                raise ConfigError(f"{name} with --pairs; legal: thresholds and --markdown")
        _compare_pairs(sources, thresholds, markdown, thresholds_file)
        return
    names, sides, axis, files = _sides(sources, by)
    wanted = (("--markdown", markdown), ("--html", html), ("--figure", figure))
    outputs = [(name, path) for name, path in wanted if path is not None]
    refuse_overlaps(outputs, [*files, *([thresholds_file] if thresholds_file else [])])
    compared = compare_records(*sides, thresholds, axis, names)
    if markdown is not None:
        write_text(markdown, to_markdown(compared, names))
    if html is not None:
        from bench.report.comparison_page import comparison_page  # jinja2 takes a moment to load

        write_text(html, comparison_page(compared, names, thresholds, sources))
    if figure is not None:
        from bench.report.figures.changes import changes_document  # matplotlib takes a moment to load

        write_text(figure, changes_document(compared.changes, thresholds.time, short_names(names)))
    if as_json:
        out.print(to_json(compared, names), markup=False, highlight=False)
    else:
        _print(compared, names, show_all)
    if not compared.changes:
        err.print(f"{names[0]} and {names[1]} {compared.in_common}", markup=False, highlight=False)
        raise typer.Exit(_NOTHING)
    if compared.has_regressed:
        raise typer.Exit(EXIT_FAULT)


def _compare_pairs(
    sources: Sequence[str], thresholds: "Thresholds", markdown: Path | None, thresholds_file: Path | None
) -> None:
    """Prints how many changes of each kind there are between each run and every later one."""
    from bench.analysis.compare import compare as compare_records
    from bench.report.comparison import PAIR_COLUMNS, pair_rows, pairs_to_markdown, short_names

    expanded = list(map(str, results_files(map(Path, sources)))) if len(sources) == 1 else list(sources)
    if len(expanded) < 2:
        raise ConfigError(f"{len(expanded)} results files with --pairs; legal: two or more")
    runs = [(name, *_read(source)) for name, source in zip(short_names(expanded), expanded, strict=True)]
    if markdown is not None:
        refuse_overlaps([("--markdown", markdown)], [*(file for _, file, _ in runs), *filter(None, [thresholds_file])])
    compared = [
        ((first, second), compare_records(before, after, thresholds, names=(first, second)))
        for (first, _, before), (second, _, after) in combinations(runs, 2)
    ]
    rows = pair_rows(compared)
    if markdown is not None:
        write_text(markdown, pairs_to_markdown(rows))
    print_rows(out, PAIR_COLUMNS, rows)
    if not any(one.changes for _, one in compared):
        reasons = dict.fromkeys(
            f"{names[0]} and {names[1]} {one.in_common}" for names, one in compared if one.shares_cells
        )
        for reason in reasons or ["no two of them have a cell in common"]:
            err.print(reason, markup=False, highlight=False)
        raise typer.Exit(_NOTHING)
    if any(one.has_regressed for _, one in compared):
        raise typer.Exit(EXIT_FAULT)


def _thresholds(file: Path | None, **given: float | None) -> "Thresholds":
    from bench.analysis.compare import Thresholds

    legal = [field.name for field in fields(Thresholds)]
    values: dict[str, Any] = {}
    if file is not None:
        values = read_toml(file, f"--thresholds {file}")
        for name, value in values.items():
            if name not in legal:
                raise ConfigError(f"{file}: {unknown('key', name, legal)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
                raise ConfigError(f"{file}: {name} = {value!r}; legal: a number of 0 or more")
    return Thresholds(**{**values, **{name: value for name, value in given.items() if value is not None}})


def _sides(
    sources: Sequence[str], by: str | None
) -> tuple[tuple[str, str], tuple["list[Record]", "list[Record]"], str | None, list[Path]]:
    """The names and the records of both sides, the axis in which their cells differ, and the files."""
    if by is None:
        if len(sources) != 2:
            raise ConfigError(f"{len(sources)} results files; legal: two, or one with --by AXIS=A,B")
        (first, one), (second, two) = map(_read, sources)
        names = (sources[0], sources[1]) if sources[0] != sources[1] else ("the first", "the second")
        return names, (one, two), None, [first, second]
    if len(sources) != 1:
        raise ConfigError(f"{len(sources)} results files with --by; legal: one")
    axis, values = parse_override(by, "--by")
    if axis not in axes() or len(values) != 2:
        raise ConfigError(f"--by {by!r}; legal: an axis with two values, as in --by threads=1,2")
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    file, records = _read(sources[0])
    from bench.analysis.statistics.pairing import entry_of

    chosen = [[record for record in records if entry_of(record).values[axis] == value] for value in values]
    for value, side in zip(values, chosen, strict=True):
        if not side:
            there = sorted({value_text(entry_of(record).values[axis]) for record in records})
            raise ConfigError(f"--by {axis}: no record has the value {value_text(value)}; legal: {', '.join(there)}")
    words = axes()[axis].words
    return (words(values[0]), words(values[1])), (chosen[0], chosen[1]), axis, [file]


def _read(source: str) -> tuple[Path, "list[Record]"]:
    """The file, and the records that count of those in it, or of one suite in it."""
    from bench.analysis.files import tail_warnings
    from bench.store.file import read_records

    path, colon, suite = source.rpartition(":")
    if not colon or Path(source).exists():
        path, suite = source, ""
    content = read_records(Path(path))
    warn(tail_warnings(Path(path), content))
    records = list(content.latest.values())
    chosen = [record for record in records if not suite or record.suite == suite]
    if not chosen:
        there = ", ".join(sorted({record.suite for record in records})) or "none, the file is empty"
        raise ConfigError(f"{source}: no record of suite {suite!r}; legal: {there}" if suite else f"{path} is empty")
    return Path(path), chosen


def _print(compared: "Compared", names: tuple[str, str], show_all: bool) -> None:
    from bench.report.comparison import COLUMNS, change_rows, headline

    out.print(headline(compared, names), markup=False, highlight=False, soft_wrap=True)
    for note in compared.notes:
        err.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    rows = change_rows(compared, show_all=show_all)
    if rows:
        print_rows(out, COLUMNS, rows)
