"""Which columns of a table of texts hold numbers, and which hold long texts."""

import re

import pandas as pd

_NUMBER = re.compile(r"[+\-±<>≤≥~]?\s*\d")
_LONG = 30  # characters
_ABSENT = frozenset({"", "\N{EN DASH}", "not measured", "baseline"})


def numeric_columns(frame: pd.DataFrame) -> frozenset[str]:
    """Return the columns of which every value begins with a number or is absent, and one at least is a number."""
    return frozenset(name for place, name in enumerate(frame.columns) if _is_numeric(frame.iloc[:, place]))


def long_columns(frame: pd.DataFrame) -> frozenset[str]:
    """Return the columns with a text of more than 30 characters."""
    return frozenset(
        name for place, name in enumerate(frame.columns) if frame.iloc[:, place].astype(str).str.len().max() > _LONG
    )


def _is_numeric(column: pd.Series) -> bool:
    texts = [str(value) for value in column]
    numbers = [_NUMBER.match(text) is not None for text in texts]
    return any(numbers) and all(number or text in _ABSENT for text, number in zip(texts, numbers, strict=True))
