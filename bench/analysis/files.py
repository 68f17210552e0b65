"""The records of several results files together."""

from collections.abc import Sequence
from pathlib import Path

from bench.analysis.words import numbered
from bench.errors import StoreError
from bench.store.file import Contents, read_records
from bench.store.latest import latest_records
from bench.store.record import Record


def read_files(files: Sequence[Path]) -> tuple[list[Contents], list[Record], list[str]]:
    """Return what each file holds, the record of each id that counts, and warnings on what was left out.

    Of records with one id, :func:`bench.store.latest.latest_records` says which counts.

    Raises:
        StoreError: a file cannot be read or is not a results file, or there is no record.
    """
    contents = [read_records(file) for file in files]
    warnings = [text for pair in zip(files, contents, strict=True) for text in tail_warnings(*pair)]
    latest = latest_records(*(content.records for content in contents))
    superseded = sum(len(content.records) for content in contents) - len(latest)
    if not latest:
        raise StoreError(f"no record in {', '.join(str(file) for file in files)}: nothing to report")
    if superseded:
        warnings.append(
            f"{numbered(superseded, 'record')} {'was' if superseded == 1 else 'were'} left out because another one of "
            "the same cell is used: the last one in a file, and of several files the one that was created latest."
        )
    return contents, list(latest.values()), warnings


def tail_warnings(file: Path, content: Contents) -> list[str]:
    """Return a warning if the last line of a file is incomplete, so that its record is missing; else nothing.

    Args:
        file: the name of the file.
        content: what it holds.
    """
    if not content.damaged_tail:
        return []
    return [f"Line {content.lines} of {file}, the last one, is incomplete and was left out."]
