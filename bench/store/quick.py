"""Parses a line that holds a sound record of the current schema at once, without JSON in between.

Reading is most of the work on a large file. A line that is anything else, or that holds what pydantic's parser would
take and Python's callbacks in :mod:`bench.store.file` refuse, is left to those.
"""

from pydantic import ValidationError

from bench.store.record import SCHEMA, Record

_FIRST = b'{"schema":%d,' % SCHEMA
# Numbers with one digit for all and one sign before all, so that a plain search finds long integers.
_ALIKE = bytes.maketrans(b"0123456789[: \t", b"0000000000,,,,")
_LONG_INTEGER = b"," + b"0" * 19  # the shortest that may be too large for 64 bits


def quick_record(line: bytes) -> Record | None:
    """Return the record of ``line``; None if the line has to be read with more care."""
    if (
        not line.startswith(_FIRST)
        or (b"\\" in line and b"\\u" in line)
        or _LONG_INTEGER in line.translate(_ALIKE, b"-")
    ):
        return None
    try:
        record = Record.model_validate_json(line)
    except ValidationError:
        return None
    return record if record.id == record.cell.id else None
