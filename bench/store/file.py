"""The results file: JSON Lines with one record per line, to which a sweep appends.

Each record is written with one ``write`` and flushed to the disk, so a killed sweep loses at most the current cell.
Only the last line can be incomplete, after a kill or on a full disk. Readers skip it, and before the next record is
appended it is moved to ``FILE.damaged``. Any other damage is an error, and so is a file that sid-bench did not write.
"""

import io
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from pydantic import ValidationError

from bench.errors import StoreError
from bench.store.collection import no_collection
from bench.store.latest import latest_records
from bench.store.lock import Lock
from bench.store.migrate import migrate
from bench.store.quick import quick_record
from bench.store.record import FIRST_KEY, SCHEMA, Record

_LONGEST_VALUE = 60  # characters of a value in a message


@dataclass(frozen=True)
class Contents:
    """The contents of a results file.

    Attributes:
        records: the records in order.
        damaged_tail: the incomplete last line, or empty.
        intact_bytes: length of the file without the incomplete line.
        lines: number of lines, with the incomplete one, whose number it is then.
    """

    records: tuple[Record, ...]
    damaged_tail: bytes
    intact_bytes: int
    lines: int

    @property
    def latest(self) -> dict[str, Record]:
        """The record that counts for each id; a cell that was run again has several."""
        return latest_records(self.records)


def read_records(path: Path) -> Contents:
    """Read a results file.

    Raises:
        StoreError: the file cannot be read, is not a results file, was written by a newer version, or is damaged
            before its last line. The message names the file and the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror}") from None
    with no_collection():
        return _contents(path, io.BytesIO(content).readlines())  # splits at line feeds only


def _contents(path: Path, lines: list[bytes]) -> Contents:
    records: list[Record] = []
    position = 0
    for number, line in enumerate(lines, start=1):
        quick = quick_record(line)
        if quick is not None:
            records.append(quick)
        elif line.strip():
            is_last = number == len(lines)
            try:
                parsed = json.loads(
                    line.decode("utf-8-sig" if number == 1 else "utf-8"),  # an editor may have added a byte order mark
                    parse_constant=_refuse_constant,
                    parse_float=_finite,
                    parse_int=_int64,
                )
                if b"\\u" in line:  # only an escape can stand for half a character
                    _refuse_surrogates(parsed)
            except (ValueError, RecursionError) as error:  # invalid JSON, invalid UTF-8, or too deep nesting
                is_cut = is_last and not isinstance(error, _NotOursError)
                if is_cut and (records or line.startswith(FIRST_KEY) or FIRST_KEY.startswith(line)):
                    return Contents(tuple(records), line, position, number)
                reason = (
                    f"{error.msg.removesuffix(' at')} at character {error.colno}"
                    if isinstance(error, json.JSONDecodeError)
                    else error
                )
                raise StoreError(
                    f"{path}, line {number} is damaged: {reason}. Nothing was changed; repair or remove the line."
                ) from None
            records.append(_check(parsed, path, number))
        position += len(line)
    return Contents(tuple(records), b"", position, len(lines))


class _NotOursError(ValueError):
    """A value that Python's parser accepts and that sid-bench never writes, so that the line was not cut."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotOursError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NotOursError(f"{text[:30]} is too large for a floating-point number")
    return number


def _int64(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise _NotOursError(f"{text[:30]} is too large for an integer of 64 bits")
    return int(text)


def _refuse_surrogates(parsed: object) -> None:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise _NotOursError(f"{error.object[error.start]!r} cannot be encoded as UTF-8") from None


def _check(parsed: object, path: Path, number: int) -> Record:
    place = f"{path}, line {number}"
    if not isinstance(parsed, dict) or not isinstance(parsed.get("schema"), int):
        raise StoreError(f"{place} is not a sid-bench record: it has no schema number")
    if not 1 <= parsed["schema"] <= SCHEMA:
        raise StoreError(
            f"{place} has schema {parsed['schema']}; this version of sid-bench reads schemas 1 to {SCHEMA}"
        )
    try:
        record = Record.parse(migrate(parsed))
    except KeyError as error:
        raise StoreError(f"{place} is not a legal record of schema {parsed['schema']}: it lacks {error}") from None
    except (TypeError, AttributeError, ArithmeticError) as error:
        raise StoreError(f"{place} is not a legal record of schema {parsed['schema']}: {error}") from None
    except ValidationError as error:
        raise StoreError(f"{place} is not a legal record: {_problem(error)}") from None
    if record.id != record.cell.id:
        raise StoreError(f"{place} has id {record.id}, but the hash of its cell is {record.cell.id}: it was edited")
    return record


def _problem(error: ValidationError) -> str:
    """The field, the value and what is legal, of the first problem of ``error``."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # our own message, which names the value
        return ": ".join(filter(None, [field, str(first["ctx"]["error"])]))
    if first["type"] == "missing":
        return f"{field}: {first['msg']}"
    value = repr(first["input"])
    shown = value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."
    return f"{field} = {shown}: {first['msg']}"


class Store:
    """A results file to which one sweep appends, under a lock; a context manager.

    Args:
        path: the results file; it is created if it does not exist.

    Attributes:
        contents: the contents of the file when it was opened.

    Raises:
        StoreError: the file cannot be read or written, or another sweep is writing it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if path.exists() and not path.is_file():
                raise StoreError(f"cannot write {path}: it is not a regular file")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file, self._is_new = _open(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from None
        self._size = 0
        self._lock: Lock | None = None
        try:
            self._lock = Lock(path, self._file)
            self.contents = read_records(path)
            if not os.path.samestat(path.stat(), os.fstat(self._file)):
                raise StoreError(f"cannot write {path}: it was removed or replaced just now; run the command again")
            self._size = self._repair()
        except BaseException:
            self._close()
            raise

    def _repair(self) -> int:
        """Move an incomplete last line to ``FILE.damaged``, end the last record with a line feed; return the length."""
        size = self.contents.intact_bytes
        if self.contents.damaged_tail:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            try:
                with aside.open("ab") as file:
                    file.write(self.contents.damaged_tail.rstrip(b"\n") + b"\n")
                os.ftruncate(self._file, size)
            except OSError as error:
                raise StoreError(f"cannot move the damaged line of {self.path} to {aside}: {error.strerror}") from None
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            self._write(b"\n", size)
            size += 1
        return size

    def append(self, record: Record) -> None:
        """Write ``record``, and return when it is on the disk.

        Raises:
            StoreError: the record cannot be written, for example because the disk is full. The file is then unchanged.
        """
        line = record.line().encode() + b"\n"
        self._write(line, self._size)
        self._size += len(line)

    def _write(self, data: bytes, size: int) -> None:
        try:
            written = os.write(self._file, data)
            if written < len(data):
                os.write(self._file, data[written:])  # raises the reason why the rest was not written
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, size)
            raise StoreError(
                f"cannot write {self.path}: {error.strerror}. All earlier records are safe; run the command again to "
                "continue."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file and release the lock; remove a new file to which nothing was written."""
        self._close()

    def _close(self) -> None:
        if self._lock is not None:  # without it, the file may be another sweep's
            if self._is_new and os.fstat(self._file).st_size == 0:  # also after an interrupted append
                Path(os.path.realpath(self.path)).unlink(missing_ok=True)
            self._lock.release()
        os.close(self._file)


def _open(path: Path) -> tuple[int, bool]:
    """Open ``path`` to append to it; return the file descriptor, and whether the file is new."""
    flags = os.O_RDWR | os.O_APPEND
    try:
        return os.open(path, flags), False
    except FileNotFoundError:
        return os.open(path, flags | os.O_CREAT, 0o644), True
