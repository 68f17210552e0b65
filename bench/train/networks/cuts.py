"""Where a backbone is cut into stages."""

from collections.abc import Sequence
from functools import cache


def even_cut(units: int, stages: int) -> list[int]:
    """Where each stage ends, as a number of units: stages differ by one unit at most, and the later are the larger."""
    return [units * (stage + 1) // stages for stage in range(stages)]


def balanced_cut(kept: Sequence[int], outputs: Sequence[int], stages: int) -> list[int]:
    """Where each stage ends, such that the stage which holds most holds as little as can be.

    A stage holds its input, and what its units keep for their backward pass.

    Args:
        kept: for each unit the bytes that it keeps.
        outputs: for each unit the bytes that it puts out.
        stages: from 1 to the number of units.
    """

    @cache
    def best(start: int, left: int) -> tuple[int, tuple[int, ...]]:
        """The bytes of the largest of ``left`` stages from unit ``start`` on, and their ends."""
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
