"""Label noise in words, and the kind that stands for others."""

from collections.abc import Collection

import pandas as pd

from bench.config.cell import Cell
from bench.config.noise_sources import KINDS_WITH_SOURCE


def noise_text(rate: float, kind: str) -> str:
    """Return the noise of a training run in words: ``40 % label noise``, ``40 % pairflip label noise``, ``human label
    noise``.

    Args:
        rate: the probability with which a label is redrawn.
        kind: its kind, with or without the file that it comes from.
    """
    if not rate:
        return "no label noise"
    share, word = f"{100 * rate:.4g} %", _word_for([kind])
    if word in KINDS_WITH_SOURCE:
        return f"{word} label noise" if rate == 1 else f"{word} label noise in {share}"
    return f"{share} {word + ' ' if word else ''}label noise"


def noise_name(rate: float, kinds: Collection[str]) -> str:
    """Return a short name of the noise at ``rate``: ``clean``, ``noise 0.4``, ``pairflip noise 0.4``, ``human noise``.

    Args:
        rate: the probability with which a label is redrawn.
        kinds: the kinds of noise that have it; the name holds one that is not the default if it is the only one.
    """
    if not rate:
        return "clean"
    word = _word_for(kinds)
    if word in KINDS_WITH_SOURCE and rate == 1:
        return f"{word} noise"
    return f"{word + ' ' if word else ''}noise {rate:g}"


def strongest_kinds(rows: pd.DataFrame) -> list[str]:
    """Return the kinds of noise with the highest rate, the human one alone if there is one; ``none`` without noise.

    Args:
        rows: with the columns ``noise_kind`` and ``noise_rate``, and 1 or more rows.
    """
    kinds = rows.loc[rows["noise_rate"] == rows["noise_rate"].max(), "noise_kind"]
    found: list[str] = list(dict.fromkeys(kinds))
    return [kind for kind in found if kind.partition(" ")[0] == "human"] or found


def strongest_kind(rows: pd.DataFrame) -> str:
    """Return the last of :func:`strongest_kinds`."""
    return strongest_kinds(rows)[-1]


def _word_for(kinds: Collection[str]) -> str:
    """Return the name of the only kind of noise, without its file; nothing for the default or several kinds."""
    words = {kind.partition(" ")[0] for kind in kinds} - {"none"}
    (word,) = words if len(words) == 1 else ("",)
    return "" if word == Cell.model_fields["noise_kind"].default else word
