"""Words of sentences."""


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
