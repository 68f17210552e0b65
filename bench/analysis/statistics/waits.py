"""Locked shares of two methods, from the step that each record traces."""

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.statistics.estimate import Estimate, independent_difference
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.units import estimate_over


def why_not_traced(entry: Entry) -> str | None:
    """Return why the locked share of a record cannot be used, or None."""
    if entry.record.trace is None:
        return "the record holds no trace"
    return None if entry.waits else "modules are not separate in its trace"


def compare_locked_shares(first: Sequence[Entry], second: Sequence[Entry]) -> Estimate:
    """Return the locked share of ``first`` minus that of ``second``; each record, 1 or more, is a process."""
    estimates = [estimate_over("processes", [[_locked_share(entry)] for entry in side]) for side in (first, second)]
    return replace(independent_difference(*estimates), limit=1.0)


def _locked_share(entry: Entry) -> float:
    """Return the fraction of a step in which a module is locked, averaged over modules."""
    return sum(wait.locked for wait in entry.waits) / len(entry.waits)
