"""Bytes of two methods, which are the same in every run."""

from collections.abc import Callable, Sequence

from bench.analysis.inference.comparison import Exact, NotMeasured, Outcome
from bench.analysis.inference.pairing import Entry
from bench.store.record import Record

Read = Callable[[Record], int | None]


def activation_bytes(record: Record) -> int | None:
    """Return the peak bytes of activations; on several ranks, of the rank that needs most. None without the pass."""
    return None if record.memory is None else record.memory.peak_activation_bytes


def total_bytes(record: Record) -> int | None:
    """Return the peak bytes in all; on several ranks, of the rank that needs most. None without the memory pass."""
    if record.ranks is not None and record.ranks.peak_total_bytes:
        return max(record.ranks.peak_total_bytes)
    return None if record.memory is None else record.memory.peak_total_bytes


def inference_bytes(record: Record) -> int | None:
    """Return the peak bytes of a prediction in all; None without the inference pass."""
    return None if record.inference is None else record.inference.peak_total_bytes


def why_no_bytes(read: Read, entry: Entry) -> str | None:
    """Return why the bytes of a record cannot be used, or None."""
    size = read(entry.record)
    if size is None:
        return "the record holds no bytes"
    return None if size > 0 else f"a ratio of {size} bytes has no meaning"


def compare_bytes(read: Read, first: Sequence[Entry], second: Sequence[Entry]) -> Outcome:
    """Return the bytes of two methods, 1 or more records each that hold some."""
    sizes = [sorted({read(entry.record) or 0 for entry in side}) for side in (first, second)]
    for side in sizes:
        if len(side) > 1:
            return NotMeasured(f"records of one cell differ, from {side[0]:,} to {side[-1]:,} bytes")
    return Exact(sizes[0][0], sizes[1][0])
