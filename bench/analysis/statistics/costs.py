"""Bytes of two methods, which are the same in every run."""

from collections.abc import Callable, Sequence

from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.statistics.comparison import Exact, NotMeasured, Outcome
from bench.analysis.statistics.pairing import Entry
from bench.config.check import is_baseline
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
    """Return the bytes of two methods, 1 or more records each that hold some.

    A compiled step, whose bytes the allocator's instrument has counted, is compared with BP's bytes by that instrument,
    which its record holds. Any other two that different instruments have counted are not compared.
    """
    by_allocator = [_by_allocator(read, side) for side in (first, second)]
    if by_allocator == [True, False] and all(is_baseline(entry.record.cell) for entry in second):
        return _exact(read, first, _BP_BYTES[read], first)
    if by_allocator == [False, True] and all(is_baseline(entry.record.cell) for entry in first):
        return _exact(_BP_BYTES[read], second, read, second)
    if by_allocator[0] != by_allocator[1]:
        return NotMeasured("the bytes of one are exact, and those of the other the allocator's")
    return _exact(read, first, read, second)


def _by_allocator(read: Read, side: Sequence[Entry]) -> bool:
    memories = [entry.record.memory for entry in side]
    return read in _BP_BYTES and any(memory is not None and memory.instrument == BY_ALLOCATOR for memory in memories)


def _bp_activation_bytes(record: Record) -> int | None:
    return None if record.memory is None else record.memory.bp_peak_activation_bytes


def _bp_total_bytes(record: Record) -> int | None:
    return None if record.memory is None else record.memory.bp_peak_total_bytes


# By what reads a method's bytes, what reads BP's in the same record.
_BP_BYTES: dict[Read, Read] = {activation_bytes: _bp_activation_bytes, total_bytes: _bp_total_bytes}


def _exact(read: Read, first: Sequence[Entry], read_second: Read, second: Sequence[Entry]) -> Outcome:
    sizes = [sorted({of(entry.record) or 0 for entry in side}) for of, side in ((read, first), (read_second, second))]
    for side in sizes:
        if len(side) > 1:
            return NotMeasured(f"records of one cell differ, from {side[0]:,} to {side[-1]:,} bytes")
    return Exact(sizes[0][0], sizes[1][0])
