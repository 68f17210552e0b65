"""Methods of which no cell has a result, each with the reason."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from bench.analysis.answer.methods import Method, by_method
from bench.analysis.statistics.pairing import Entry
from bench.store.record import Record, Status

_LONGEST = 300  # characters of a message, which the table of cells without a result has in full
_WORDS: Mapping[Status, str] = MappingProxyType(
    {"oom": "ran out of memory", "timeout": "took too long", "crashed": "crashed", "skipped": "was skipped"}
)


def without_result(entries: Iterable[Entry]) -> dict[Method, list[Entry]]:
    """Return the records of each method that has none whose status is ``ok``."""
    found = by_method(entries)
    return {method: own for method, own in found.items() if not any(entry.record.status == "ok" for entry in own)}


def failure_sentence(method: Method, entries: Sequence[Entry]) -> str:
    """Return what happened to the first of the records of a method without a result."""
    record: Record = entries[0].record
    message = textwrap.shorten(record.message or "", _LONGEST, placeholder=" ...")
    return f"{method.name} {_WORDS[record.status]}{f': {message}' if message else ''}".rstrip(".") + "."
