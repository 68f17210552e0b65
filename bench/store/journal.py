"""What was measured of cells that have no record yet: a file beside the results file, ``FILE.unfinished``.

A cell that several processes time has its record only when the last of them has ended. Until then, what each of them
has measured stands in this file, so that a sweep which is killed goes on with the next process. An entry counts until
a record of its cell is stored after it; then it is of no use, and the file is removed when all are. The lock of the
results file protects it as well.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from bench.store.record import Record
from bench.store.text_file import write_text

Entry = dict[str, Any]


class Journal:
    """The entries of unfinished cells.

    Args:
        results: the results file.
        records: what it holds.

    Attributes:
        entries: what was measured of each unfinished cell, by its id, in order.

    Raises:
        StoreError: the file cannot be read.
    """

    def __init__(self, results: Path, records: Sequence[Record]) -> None:
        real = Path(os.path.realpath(results))  # one journal, by whatever link the file is reached
        self.path = real.with_name(f"{real.name}.unfinished")
        self._records = Counter(record.id for record in records)
        self.entries: dict[str, list[Entry]] = {}
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise StoreError(f"cannot read {self.path}: {error.strerror}") from None
        for line in lines:
            try:
                parsed = json.loads(line)
                id_, before, entry = parsed["id"], parsed["records"], parsed["entry"]
            except (ValueError, KeyError, TypeError, RecursionError):
                break  # cut by a kill: what follows cannot be told apart from it
            if isinstance(entry, dict) and before == self._records[id_]:
                self.entries.setdefault(id_, []).append(entry)
        if lines:
            self._write_all()

    def append(self, id_: str, entry: Entry) -> None:
        """Write what was measured of the cell ``id_``, and return when it is on the disk.

        Raises:
            StoreError: it cannot be written.
        """
        self.entries.setdefault(id_, []).append(entry)
        try:
            with self.path.open("ab") as file:
                file.write(self._line(id_, entry))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreError(f"cannot write {self.path}: {error.strerror}. All records are safe.") from None

    def forget(self, id_: str) -> None:
        """Drop the entries of a cell whose record was stored just now."""
        self._records[id_] += 1
        self.entries.pop(id_, None)
        if not self.entries:
            self.path.unlink(missing_ok=True)

    def drop(self, id_: str) -> None:
        """Drop the entries of a cell because they are of no use.

        Raises:
            StoreError: the file cannot be written.
        """
        del self.entries[id_]
        self._write_all()

    def _line(self, id_: str, entry: Entry) -> bytes:
        return json.dumps({"id": id_, "records": self._records[id_], "entry": entry}).encode() + b"\n"

    def _write_all(self) -> None:
        """Replace the file by the entries that count."""
        if not self.entries:
            self.path.unlink(missing_ok=True)
            return
        content = b"".join(self._line(id_, entry) for id_, own in self.entries.items() for entry in own)
        write_text(self.path, content.decode())
