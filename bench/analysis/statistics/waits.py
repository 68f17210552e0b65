"""Locked shares of two methods, from the steps that each record traces: one per process."""

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.statistics.estimate import Estimate, independent_difference
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.units import estimate_over


def why_not_traced(entry: Entry) -> str | None:
    """Return why the locked share of a record cannot be used, or None."""
    if entry.record.trace is None:
        return "the record holds no trace"
    return None if entry.locked_shares else "modules are not separate in its trace"


def compare_locked_shares(first: Sequence[Entry], second: Sequence[Entry]) -> Estimate:
    """Return the locked share of ``first`` minus that of ``second``, of 1 or more records each."""
    estimates = [
        estimate_over("processes", [[share] for entry in side for share in entry.locked_shares])
        for side in (first, second)
    ]
    return replace(independent_difference(*estimates), limit=1.0)
