"""The number of decimals that an interval needs."""

MOST_DIGITS = 6


def digits_apart(low: float, high: float) -> int:
    """Return the decimals, one at least, that tell the ends of an interval apart, and from 0."""
    return next((digits for digits in range(1, MOST_DIGITS) if _are_distinct(low, high, digits)), MOST_DIGITS)


def _are_distinct(low: float, high: float, digits: int) -> bool:
    """Return whether the ends of an interval, rounded to ``digits``, differ from each other and from 0 as they do."""
    rounded = (round(low, digits), round(high, digits))
    return (rounded[0] < rounded[1] or low == high) and all(
        short != 0 or end == 0 for short, end in zip(rounded, (low, high), strict=True)
    )
