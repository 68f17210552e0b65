"""Label noise in words, and the kind that stands for others."""

from collections.abc import Collection

import pandas as pd

from bench.config.noise_sources import KINDS_WITH_SOURCE


def noise_text(rate: float, kind: str) -> str:
    """Return the noise of a training run in words: ``40 % label noise``, ``human label noise``.

    Args:
        rate: the probability with which a label is redrawn.
        kind: its kind, with or without the file that it comes from.
    """
    if not rate:
        return "no label noise"
    share, source = f"{100 * rate:.4g} %", _source_of([kind])
    if source is None:
        return f"{share} label noise"
    return f"{source} label noise" if rate == 1 else f"{source} label noise in {share}"


def noise_name(rate: float, kinds: Collection[str]) -> str:
    """Return a short name of the noise at ``rate``: ``clean``, ``noise 0.4``, ``human noise``.

    Args:
        rate: the probability with which a label is redrawn.
        kinds: the kinds of noise that have it; the name holds one that reads a file if it is the only one.
    """
    if not rate:
        return "clean"
    source = _source_of(kinds)
    if source is None:
        return f"noise {rate:g}"
    return f"{source} noise" if rate == 1 else f"{source} noise {rate:g}"


def strongest_kind(rows: pd.DataFrame) -> str:
    """Return the kind of noise with the highest rate, of equals the human one, else the last; ``none`` without noise.

    Args:
        rows: with the columns ``noise_kind`` and ``noise_rate``, and 1 or more rows.
    """
    kinds: list[str] = rows.loc[rows["noise_rate"] == rows["noise_rate"].max(), "noise_kind"].tolist()
    return next((kind for kind in kinds if kind.partition(" ")[0] == "human"), kinds[-1])


def _source_of(kinds: Collection[str]) -> str | None:
    words = {kind.partition(" ")[0] for kind in kinds}
    (word,) = words if len(words) == 1 else ("",)
    return word if word in KINDS_WITH_SOURCE else None
