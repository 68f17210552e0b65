"""Errors that end a command with a message instead of a traceback."""

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """An error that the user can fix; the message says what is wrong and which values are legal."""


class ConfigError(BenchError):
    """A cell, a sweep or an option has an illegal value."""


class StoreError(BenchError):
    """A results file cannot be read or written."""


class DataError(BenchError):
    """A data set is missing, damaged, or does not fit the cell."""


def unknown(kind: str, value: object, legal: Iterable[object]) -> str:
    """Return the message for an unknown name: the value, the closest legal value, and all legal values."""
    names = [str(name) for name in legal]
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {str(value)!r}; {hint}legal: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """Return the type of ``error`` and the first line of its message, as text that JSON can encode."""
    lines = str(error).encode(errors="backslashreplace").decode().strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
