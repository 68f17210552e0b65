"""The errors that end a command with a message instead of a traceback."""

import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """Something the user can mend; the message says what is wrong and what is legal."""


class ConfigError(BenchError):
    """A cell, a sweep or an option is not legal."""


class StoreError(BenchError):
    """A results file cannot be read, or cannot be written."""


class DataError(BenchError):
    """A data set is missing, damaged, or does not fit the cell."""


def unknown(kind: str, value: object, legal: Iterable[object]) -> str:
    """The message for a name that is not known: the value, the nearest legal one, and all legal ones."""
    names = [str(name) for name in legal]
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"unknown {kind} {str(value)!r}; {hint}legal: {', '.join(names)}"


def first_line(error: BaseException) -> str:
    """The error's type and the first line of its text, as text that JSON can hold."""
    lines = str(error).encode(errors="backslashreplace").decode().strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
