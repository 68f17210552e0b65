"""Search for the largest batch that fits a budget, with few evaluations of a non-decreasing cost."""

from collections.abc import Callable

_GROWTH = 16

Point = tuple[int, int]  # a batch and its cost


def largest_fitting(cost: Callable[[int], int], budget: int, limit: int, smallest: int = 1) -> int:
    """Return the largest ``batch`` in ``smallest`` to ``limit`` with ``cost(batch) <= budget``; 0 if none fits.

    Memory is piecewise affine in the batch, because the moment of the peak changes with it. So the next batch to
    evaluate is where the line through two known points reaches the budget. If that converges slowly, the batch is
    multiplied by 16 or the interval is halved, so that the number of evaluations is O(log ``limit``). No batch is
    evaluated twice. The result and the batch after it are always evaluated, unless they are 0 or above ``limit``.

    Args:
        cost: bytes at a batch; must not decrease as the batch grows.
        budget: bytes.
        limit: the largest batch to consider.
        smallest: the smallest.
    """
    first = (smallest, cost(smallest))
    if first[1] > budget:
        return 0
    low, high = _bracket(cost, budget, limit, first)
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
    """Return a point that fits and a larger one that does not, or None if ``limit`` fits; ``low`` must fit."""
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
    """Return the last batch within ``budget`` on the rising line through two points."""
    rise, run = second[1] - first[1], second[0] - first[0]
    return first[0] + (budget - first[1]) * run // rise
