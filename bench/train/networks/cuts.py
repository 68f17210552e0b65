"""Where a backbone is cut into stages."""

from collections.abc import Sequence
from functools import cache


def even_cut(units: int, stages: int) -> list[int]:
    """Return where each stage ends, as a number of units. Stages differ by at most one unit; later ones are larger."""
    return [units * (stage + 1) // stages for stage in range(stages)]


def balanced_cut(kept: Sequence[int], outputs: Sequence[int], stages: int) -> list[int]:
    """Return where each stage ends, as a number of units, so that the largest stage is as small as possible.

    A stage holds its input and what its units keep for their backward pass.

    Args:
        kept: the bytes that each unit keeps.
        outputs: the bytes of each unit's output.
        stages: the number of stages, from 1 to the number of units.
    """

    @cache
    def best(start: int, left: int) -> tuple[int, tuple[int, ...]]:
        """Return the bytes of the largest of ``left`` stages from unit ``start`` on, and their ends."""
        if left == 1:
            return held(start, len(kept)), (len(kept),)
        candidates = []
        for end in range(start + 1, len(kept) - left + 2):
            largest, ends = best(end, left - 1)
            candidates.append((max(held(start, end), largest), (end, *ends)))
        return min(candidates)

    def held(start: int, end: int) -> int:
        return sum(kept[start:end]) + (outputs[start - 1] if start else 0)

    return list(best(0, stages)[1])
