"""The largest batch that fits a budget, found with few looks at a cost that never falls."""

from collections.abc import Callable

_GROWTH = 16

Point = tuple[int, int]  # a batch and its cost


def largest_fitting(cost: Callable[[int], int], budget: int, limit: int) -> int:
    """The largest ``batch`` of 1 to ``limit`` with ``cost(batch) <= budget``; 0 where not even 1 fits.

    Memory is affine in the batch, in pieces: which moment is the worst changes with it. So the next look goes where a
    straight line through two known points meets the budget. Where lines get nowhere, the batch is multiplied, or the
    interval halved: the number of looks grows with the logarithm of ``limit`` in the worst case. No batch is looked at
    twice; the answer and the batch after it are always looked at.

    Args:
        cost: bytes at a batch; never falls as the batch grows.
        budget: bytes.
        limit: the largest batch of interest.
    """
    smallest = (1, cost(1))
    if smallest[1] > budget:
        return 0
    low, high = _bracket(cost, budget, limit, smallest)
    widths: list[int] = []
    while high is not None and high[0] - low[0] > 1:
        width = high[0] - low[0]
        lines_help = len(widths) < 2 or 2 * width <= widths[-2]
        widths.append(width)
        batch = _crossing(low, high, budget) if lines_help else (low[0] + high[0]) // 2
        batch = min(max(batch, low[0] + 1), high[0] - 1)
        point = (batch, cost(batch))
        low, high = (point, high) if point[1] <= budget else (low, point)
    return low[0]


def _bracket(cost: Callable[[int], int], budget: int, limit: int, low: Point) -> tuple[Point, Point | None]:
    """A point that fits and a larger one that does not, None where even ``limit`` fits; ``low`` is known to fit."""
    before: Point | None = None
    while low[0] < limit:
        lines_help = before is not None and low[0] >= 2 * before[0] and low[1] > before[1]
        batch = _crossing(before, low, budget) if before is not None and lines_help else _GROWTH * low[0]
        batch = min(max(batch, low[0] + 1), limit)
        point = (batch, cost(batch))
        if point[1] > budget:
            return low, point
        before, low = low, point
    return low, None


def _crossing(first: Point, second: Point, budget: int) -> int:
    """The last batch within ``budget`` on the rising line through two points."""
    rise, run = second[1] - first[1], second[0] - first[0]
    return first[0] + (budget - first[1]) * run // rise
