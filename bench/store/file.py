"""The results file: JSON Lines with one record per line, to which a sweep appends.

Each record is written with one ``write`` and flushed to the disk, so a killed sweep loses at most the current cell.
Only the last line can be incomplete, after a kill or on a full disk. Readers skip it, and before the next record is
appended it is moved to ``FILE.damaged``. Any other damage is an error, and so is a file that sid-bench did not write.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from pydantic import ValidationError

from bench.errors import StoreError
from bench.store.migrate import migrate
from bench.store.record import FIRST_KEY, SCHEMA, Record


@dataclass(frozen=True)
class Contents:
    """The contents of a results file.

    Attributes:
        records: the records in order.
        damaged_tail: the incomplete last line, or empty.
        intact_bytes: length of the file without the incomplete line.
    """

    records: tuple[Record, ...]
    damaged_tail: bytes
    intact_bytes: int

    @property
    def latest(self) -> dict[str, Record]:
        """The last record of each id; a cell that was run again has several."""
        return {record.id: record for record in self.records}


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
    lines = content.splitlines(keepends=True)
    records: list[Record] = []
    position = 0
    for number, line in enumerate(lines, start=1):
        if line.strip():
            is_last = number == len(lines)
            try:
                parsed = json.loads(line, parse_constant=_refuse_constant)
            except (ValueError, RecursionError) as error:  # invalid JSON, invalid UTF-8, or too deep nesting
                is_cut = is_last and not isinstance(error, _NotJsonError)  # sid-bench never writes NaN or infinities
                if is_cut and (records or line.startswith(FIRST_KEY) or FIRST_KEY.startswith(line)):
                    return Contents(tuple(records), line, position)
                raise StoreError(
                    f"{path}, line {number} is damaged: {error}. Nothing was changed; repair or remove the line."
                ) from None
            records.append(_check(parsed, path, number))
        position += len(line)
    return Contents(tuple(records), b"", position)


class _NotJsonError(ValueError):
    """NaN or an infinity, which Python's parser accepts although JSON has neither."""


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJsonError(f"{name} is not JSON")


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
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"{place} is not a legal record: {field}: {first['msg']}") from None
    if record.id != record.cell.id:
        raise StoreError(f"{place} has id {record.id}, but the hash of its cell is {record.cell.id}: it was edited")
    return record


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
        self._is_new = not path.exists()
        if not self._is_new and not path.is_file():
            raise StoreError(f"cannot write {path}: it is not a regular file")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from None
        try:
            self._lock()
            self.contents = read_records(path)
            self._size = self._repair()
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{self.path} is being written by another sid-bench run; give this one another --out"
            ) from None

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
        if self._is_new and self._size == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._file)
