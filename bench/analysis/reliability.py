"""Whether a latency ratio can be relied on, told from its own blocks."""

import math
from collections.abc import Sequence

import numpy as np

from bench.analysis.ratio import Ratio, Seconds, log_ratios

FEWEST_BLOCKS = 10
# On a quiet machine of two cores 95 of 100 cells (the suite "latency", 240 cells) had an interquartile range under 0.07
# of their median, and 98 one under 0.2; with other jobs on the cores a tenth of the cells were above 0.26.
WIDEST_SPREAD = 0.25
# How many of its standard errors a stretch of the run may differ from the rest. In simulations of jittering and of
# stalling machines (tests/bench/measure/test_measure_verdict.py) the largest difference of all stretches is above 7 in
# about 1 % of runs; where the ratio moved by three times its usual spread, it mostly is.
_FURTHEST_STRETCH = 7.0
# The shortest stretch to look at, as a share of the run: shorter ones do not move a median, and stalls look like them.
_SHORTEST_STRETCH = 0.3
_LEAST_SPREAD = 1e-6  # of log-ratios: so little is rounding
_NORMAL_MAD = 1.4826  # the standard deviation over the median absolute deviation, for a normal distribution


def noisy_because(processes: Sequence[Seconds], ratio: Ratio, is_baseline: bool) -> str | None:
    """Why ``ratio`` is not to be relied on, as a sentence; None where nothing speaks against it.

    - A process ran fewer than ten blocks.
    - The times of a leg spread: their interquartile range is above a quarter of their median.
    - The ratio moved: a stretch of the run, a third of it or longer, has another median of log-ratios than the rest.
      Neighbouring blocks tell how much they differ when nothing moves. This is an A/A test without a run of its own.
    - BP against itself is not 1 within its interval.

    Args:
        processes: for each process its blocks ``[n, 4]``: seconds a step of (cell, BP, BP, cell).
        ratio: what :func:`bench.analysis.ratio.ratio_of` makes of them.
        is_baseline: whether the cell is BP's.
    """
    reasons = []
    for number, blocks in enumerate(processes, start=1):
        where = f" in process {number} of {len(processes)}" if len(processes) > 1 else ""
        reasons += [f"{reason}{where}" for reason in _disturbances(blocks)]
    if is_baseline and not ratio.low <= 1 <= ratio.high:
        reasons.append(f"BP against itself reads {ratio}")
    return "; ".join(reasons) or None


def _disturbances(blocks: Seconds) -> list[str]:
    """What speaks against the blocks ``[n, 4]`` of one process."""
    reasons = []
    if len(blocks) < FEWEST_BLOCKS:
        reasons.append(f"only {len(blocks)} blocks ran, fewer than {FEWEST_BLOCKS}")
    for name, columns in (("the cell", [0, 3]), ("BP", [1, 2])):
        low, middle, high = np.percentile(blocks[:, columns], [25, 50, 75])
        if high - low > WIDEST_SPREAD * middle:
            reasons.append(
                f"the times of {name} spread by {(high - low) / middle:.0%} of their median, more than "
                f"{WIDEST_SPREAD:.0%}"
            )
    furthest, inside, outside = _furthest_stretch(log_ratios(blocks))
    if furthest > _FURTHEST_STRETCH:
        reasons.append(f"a stretch of the run has a ratio of {math.exp(inside):.3f}, the rest {math.exp(outside):.3f}")
    return reasons


def _furthest_stretch(values: Seconds) -> tuple[float, float, float]:
    """The stretch of ``values`` ``[n]`` that differs the most from the rest: standard errors, its median, the rest's.

    A stretch holds whole pairs, a block and its mirror image, because these differ: a leg that follows one of its own
    kind finds its data in the caches. For the same reason it is next but one neighbours that give the standard error.
    """
    values = values[: len(values) // 2 * 2]
    count = len(values)
    shortest = max(4, 2 * math.ceil(_SHORTEST_STRETCH * count / 2))
    furthest = (0.0, 0.0, 0.0)
    if count < 2 * shortest:
        return furthest
    spread = max(_NORMAL_MAD * float(np.median(np.abs(values[2:] - values[:-2]))) / math.sqrt(2), _LEAST_SPREAD)
    for start in range(0, count, 2):
        for end in range(start + shortest, min(count, start + count - shortest) + 1, 2):
            inside = float(np.median(values[start:end]))
            outside = float(np.median(np.concatenate((values[:start], values[end:]))))
            length = end - start
            error = spread * math.sqrt(1 / length + 1 / (count - length))
            furthest = max(furthest, (abs(inside - outside) / error, inside, outside))
    return furthest
