"""Words of sentences."""

from collections.abc import Sequence


def numbered(number: int, noun: str) -> str:
    """Return a number in digits with its noun: ``0 cells``, ``1 cell``, ``2 cells``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``no method``, ``1 method``, ``2 methods``.

    Args:
        number: 0 or more.
        noun: of one.
        plural: of several, if it is not the noun with an s.
    """
    return f"{f'{number:,}' if number else 'no'} {plural or f'{noun}s' if number > 1 else noun}"


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Return the first ``most`` of ``names``, and how many more there are: ``a, b, c and 2 more``."""
    left_out = len(names) - most
    return ", ".join(names[:most]) + (f" and {left_out} more" if left_out > 0 else "")
