"""The results files that ``sid-bench compare`` is given, and the records of both sides."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.analysis.words import numbered
from bench.cli.console import warn
from bench.cli.results_files import results_files
from bench.config.axes import axes
from bench.config.sweep import parse_override, value_text
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.store.record import Record


def sides_of(
    sources: Sequence[str], by: str | None
) -> tuple[tuple[str, str], tuple["list[Record]", "list[Record]"], str | None, list[Path]]:
    """Return the names and the records of both sides, the axis in which their cells differ, and the files.

    Args:
        sources: ``FILE`` or ``FILE:SUITE``; a pattern that matches one file stands for it.
        by: ``AXIS=A,B``, the values of the sides in the records of one file; None: each side has a file.

    Raises:
        ConfigError: there are more or fewer files than that takes, or a side has no record.
    """
    if by is None:
        if len(sources) != 2:
            raise ConfigError(f"{numbered(len(sources), 'results file')}; legal: two, or one with --by AXIS=A,B")
        found = _one_file(sources[0]), _one_file(sources[1])
        (first, one), (second, two) = map(read_source, found)
        return found if found[0] != found[1] else ("the first", "the second"), (one, two), None, [first, second]
    if len(sources) != 1:
        raise ConfigError(f"{numbered(len(sources), 'results file')} with --by; legal: one")
    axis, values = parse_override(by, "--by")
    if len(values) != 2 or values[0] == values[1]:
        raise ConfigError(f"--by {by!r}; legal: an axis with two values that differ, as in --by threads=1,2")
    values = [tuple(value) if isinstance(value, list) else value for value in values]
    file, records = read_source(_one_file(sources[0]))
    from bench.analysis.statistics.pairing import entry_of  # SciPy takes a moment to load

    chosen = [[record for record in records if entry_of(record).values[axis] == value] for value in values]
    for value, side in zip(values, chosen, strict=True):
        if not side:
            there = sorted({value_text(entry_of(record).values[axis]) for record in records})
            raise ConfigError(f"--by {axis}: no record has the value {value_text(value)}; legal: {', '.join(there)}")
    words = axes()[axis].words
    return (words(values[0]), words(values[1])), (chosen[0], chosen[1]), axis, [file]


def files_of(sources: Iterable[str]) -> list[str]:
    """Return ``sources`` with each pattern replaced by the files that it matches, each once whatever its spelling.

    Raises:
        ConfigError: a pattern matches no file.
    """
    found: dict[tuple[str, str | None], str] = {}
    for source in (source for given in sources for source in _matches(given)):
        path, suite = _parts(source)
        found.setdefault((os.path.realpath(path), suite), source)
    return list(found.values())


def read_source(source: str) -> tuple[Path, "list[Record]"]:
    """Return the file, and the records that count of those in it, or of one suite in it.

    Raises:
        ConfigError: there is no such record.
        StoreError: the file cannot be read.
    """
    from bench.analysis.files import tail_warnings
    from bench.store.file import read_records

    path, suite = _parts(source)
    content = read_records(Path(path))
    warn(tail_warnings(Path(path), content))
    records = list(content.latest.values())
    chosen = [record for record in records if suite is None or record.suite == suite]
    if not chosen and suite is None:
        raise ConfigError(f"{path} is empty")
    if not chosen:
        there = ", ".join(sorted({record.suite for record in records})) or "none, the file is empty"
        raise ConfigError(f"{source}: no record of suite {suite!r}; legal: {there}")
    return Path(path), chosen


def _parts(source: str) -> tuple[str, str | None]:
    """The file and the suite of ``FILE:SUITE``; a file whose name has a colon is found as such."""
    path, colon, suite = source.rpartition(":")
    return (path, suite) if colon and not Path(source).exists() else (source, None)


def _matches(source: str) -> list[str]:
    path, suite = _parts(source)
    return [str(file) if suite is None else f"{file}:{suite}" for file in results_files([Path(path)])]


def _one_file(source: str) -> str:
    found = _matches(source)
    if len(found) > 1:
        raise ConfigError(f"{source!r} matches {len(found)} files: {', '.join(found)}; legal: a pattern of one file")
    return found[0] if found[0] != str(Path(source)) else source
