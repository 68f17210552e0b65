"""Numbers as text, with the digits that a reader needs; ``not measured`` where there is no number."""

import pandas as pd

from bench.analysis.differences import Points, t_interval

NOT_MEASURED = "not measured"
_MIB = 2**20


def mebibytes(value: float) -> str:
    """Return bytes as MiB with three significant digits."""
    size = value / _MIB
    digits = next((digits for digits, least in enumerate((100, 10, 0.1)) if size >= least), 3)
    return f"{size:.{digits}f}"


def bytes_text(value: float | None) -> str:
    """Return exact bytes with separators of thousands."""
    return NOT_MEASURED if pd.isna(value) else f"{value:,.0f}"


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three decimals."""
    return f"{1000 * seconds:.3f}"


def ratio(value: float | None) -> str:
    """Return a ratio with three decimals."""
    return NOT_MEASURED if pd.isna(value) else f"{value:.3f}"


def latency_ratio(row: pd.Series) -> str:
    """Return the latency ratio of ``row`` with its interval, followed by ``noisy`` if it is unreliable."""
    low, high = row["latency.ratio_ci95"]
    noisy = " noisy" if pd.notna(row["latency.noisy_because"]) else ""
    return f"{row['latency.ratio_to_bp']:.2f} [{low:.2f}, {high:.2f}]{noisy}"


def mean_percent(shares: pd.Series) -> str:
    """Return the mean of fractions, in percent; ``not measured`` if one is missing."""
    return NOT_MEASURED if shares.isna().any() else f"{100 * shares.mean():.1f}"


def mean_and_range(shares: pd.Series) -> str:
    """Return the mean of fractions, in percent, with the smallest and the largest if there are several."""
    if len(shares) == 1:
        return mean_percent(shares)
    return f"{mean_percent(shares)} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"


def difference_text(differences: Points) -> str:
    """Return the mean of paired differences with a 95 % t interval; one difference has no interval."""
    if len(differences) == 0:
        return NOT_MEASURED
    if len(differences) == 1:
        return f"{float(differences[0]):+z.1f} (one seed, no interval)"
    interval = t_interval(differences)
    return f"{interval.mean:+z.1f} [{interval.low:+z.1f}, {interval.high:+z.1f}]"
