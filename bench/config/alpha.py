"""Alpha over depth as a text: ``0.9..0.1`` falls evenly from the first module to the last."""

from collections.abc import Sequence

LEGAL_ALPHA = (
    "a number in (0, 1], one such number for each module, or FIRST..LAST, which goes evenly from the first module to "
    "the last"
)
_MOST_MODULES = 1_000_000  # each has a number of its own


def alpha_by_module(schedule: str, modules: int) -> tuple[float, ...]:
    """The numbers that ``FIRST..LAST`` stands for, one per module.

    They are rounded to twelve digits, so that ``0.9..0.1`` for five modules is 0.9, 0.7, 0.5, 0.3, 0.1 and nothing
    besides.

    Raises:
        ValueError: the text is something else, an end is not in (0, 1], or there is one module or more than a
            million.
    """
    first, _, last = schedule.partition("..")
    ends = _number(first), _number(last)
    if not all(0 < end <= 1 for end in ends):
        raise ValueError(f"alpha = {schedule!r}; legal: {LEGAL_ALPHA}")
    if modules == 1:
        raise ValueError(f"alpha = {schedule!r} for modules = 1; legal: one number, or 2 modules or more")
    if modules > _MOST_MODULES:
        raise ValueError(
            f"alpha = {schedule!r} for modules = {modules}; legal: one number, or at most {_MOST_MODULES} modules"
        )
    rise = (ends[1] - ends[0]) / (modules - 1)
    return tuple(float(f"{ends[0] + rise * index:.12g}") for index in range(modules))


def alpha_text(alpha: float | Sequence[float]) -> str:
    """``alpha`` for a person: one number, ``FIRST..LAST`` where that says it all, or numbers joined by colons."""
    if isinstance(alpha, int | float):
        return f"{alpha:g}"
    ends = f"{alpha[0]:g}..{alpha[-1]:g}"
    if len(alpha) > 1 and tuple(alpha) == alpha_by_module(ends, len(alpha)):
        return ends
    return ":".join(f"{value:g}" for value in alpha)


def _number(text: str) -> float:
    """NaN, which no range holds, where it is not a number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
