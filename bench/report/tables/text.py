"""Numbers as text, with the digits that a reader needs; ``not measured`` where there is no number."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.differences import Difference, judged_together
from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.numbers import digits_of_points
from bench.analysis.numbers import mebibytes as mebibytes
from bench.analysis.statistics.comparison import Comparison
from bench.analysis.words import counted

NOT_MEASURED = "not measured"
ABSENT = "\u2013"  # en dash
BASELINE = "baseline"  # of BP itself, which is not compared with BP


def bytes_text(value: float | None) -> str:
    """Return exact bytes with separators of thousands."""
    return NOT_MEASURED if pd.isna(value) else f"{value:,.0f}"


def by_instrument(text: str, row: pd.Series) -> str:
    """Return a number of bytes, or a ratio of them, with the instrument of ``row`` where it is not the exact one."""
    return f"{text} (allocator)" if row["memory.instrument"] == BY_ALLOCATOR and text != NOT_MEASURED else text


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three decimals."""
    return f"{1000 * seconds:.3f}"


def ratio(value: float | None) -> str:
    """Return a ratio with three decimals."""
    return NOT_MEASURED if pd.isna(value) else f"{value:.3f}"


def latency_ratio(row: pd.Series) -> str:
    """Return the latency ratio of ``row`` with its interval and what that rests on, and ``noisy`` if it is unreliable.

    For example ``0.86 [0.84, 0.88] (5 processes)``. An interval of one process leaves out how processes differ.
    """
    processes = len(row["latency.blocks_by_process"])
    return noisy_interval_text(
        row["latency.ratio_to_bp"], row["latency.ratio_ci95"], processes, row["latency.noisy_because"]
    )


def noisy_interval_text(value: float, interval: tuple[float, float], processes: int, noisy_because: str | None) -> str:
    """Return a ratio of times as :func:`interval_text` does, and ``noisy`` if there is a reason not to rely on it."""
    return interval_text(value, *interval, processes) + (" noisy" if pd.notna(noisy_because) else "")


def interval_text(value: float, low: float, high: float, processes: int) -> str:
    """Return a latency ratio with the ends of its interval and the number of processes that it rests on."""
    return f"{value:.2f} [{low:.2f}, {high:.2f}] ({processes_text(processes)})"


def processes_text(count: int) -> str:
    """Return a number of processes: ``1 process``."""
    return counted(count, "process", "processes")


def mean_percent(shares: pd.Series) -> str:
    """Return the mean of fractions, in percent; ``not measured`` if one is missing."""
    return NOT_MEASURED if shares.isna().any() else f"{100 * shares.mean():.1f}"


def mean_and_range(shares: pd.Series) -> str:
    """Return the mean of fractions, in percent, with the smallest and the largest if there are several."""
    if len(shares) == 1:
        return mean_percent(shares)
    return f"{mean_percent(shares)} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"


def with_verdicts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return ``rows`` with a text in place of each comparison of accuracies.

    :func:`bench.analysis.differences.judged_together` says which are judged as one family.
    """
    comparisons = [value for row in rows for value in row.values() if isinstance(value, Comparison)]
    judged = iter(judged_together(comparisons))

    def text(value: Any) -> Any:
        return difference_text(next(judged)) if isinstance(value, Comparison) else value

    return [{name: text(value) for name, value in row.items()} for row in rows]


def difference_text(difference: Difference) -> str:
    """Return a difference in points, its interval, its verdict and its sample; ``not measured`` without an estimate.

    For example ``+1.1 [+0.4, +1.8] better (20 seeds, 360 images)``; without a verdict ``+1.1 [-0.1, +2.3] (over 3 seeds
    only)``.
    """
    if difference.estimate is None:
        return NOT_MEASURED
    interval = interval_of_points(difference)
    ends = ", no interval" if interval is None else f" {interval}"
    verdict = "" if difference.verdict is None else f" {difference.verdict}"
    return f"{points_text(difference)}{ends}{verdict} ({basis_text(difference)})"


def points_text(difference: Difference) -> str:
    """Return the estimate in points, with as many digits as tell the ends of its interval apart."""
    estimate = difference.estimate
    return NOT_MEASURED if estimate is None else f"{100 * estimate.value:+z.{digits_of_points(difference.interval)}f}"


def interval_of_points(difference: Difference) -> str | None:
    """Return the interval in points: ``[+0.4, +1.8]``; None if there is none."""
    interval = difference.interval
    if interval is None:
        return None
    low, high = (f"{100 * end:+z.{digits_of_points(interval)}f}" for end in interval)
    return f"[{low}, {high}]"


def basis_text(difference: Difference) -> str:
    """Return what a difference rests on: ``20 seeds, 360 images``, or ``over 3 seeds only``; empty without a number."""
    if difference.estimate is None:
        return ""
    basis = difference.estimate.basis
    return basis if difference.judged is not None else f"over {basis} only"
