"""Estimates over processes or seeds, which are the units of the sample; blocks within a unit add their own spread.

The interval is Student's t over the medians of the units. Simulated coverage of the 95 % interval and its median width
(``b`` is the standard deviation between processes, that between the 8 blocks of a process is 1 %, with heavy tails;
4,000 draws, 600 for bootstraps):

====================  =========  ==================  =======================  =============================
between processes     processes  t over medians      hierarchical percentile  percentile with t quantile
====================  =========  ==================  =======================  =============================
normal, b = 3 %       5          95 %, width 0.069   84 %, 0.043              91 %, 0.059
normal, b = 3 %       10         95 %, 0.041         89 %, 0.033              94 %, 0.040
t with 3 df, b = 3 %  5          96 %, 0.052         85 %, 0.033              95 %, 0.045
lognormal, skewed     5          87 %, 0.064         76 %, 0.040              84 %, 0.054
two states, half      5          94 %, 0.130         92 %, 0.079              94 %, 0.103
two states, a fifth   5          70 %, 0.110         67 %, 0.065              70 %, 0.087
two states, a fifth   10         88 %, 0.060         89 %, 0.048              90 %, 0.057
b = 0                 5          100 %, 0.007        100 %, 0.007             100 %, 0.011
====================  =========  ==================  =======================  =============================

An interval that knows ``b`` = 3 % would be 0.053 wide with five processes. No method finds a state that none of the
processes was in (one fifth of processes slower by 10 %: a third of the draws of five), so states have to be told apart
before, and :mod:`bench.analysis.statistics.drift` names processes that differ.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.analysis.statistics.estimate import Estimate
from bench.errors import BenchError

Numbers = NDArray[np.float64]

_NORMAL_MAD = 1.4826  # standard deviation over median absolute deviation, for a normal distribution
_MEDIAN_VARIANCE = math.pi / 2  # variance of the median over that of the mean, for a normal distribution
_LEAST_ERROR = 1e-6  # of log-ratios: clocks resolve a few nanoseconds of a millisecond


def estimate_over(unit: Literal["processes", "seeds"], samples: Sequence[ArrayLike]) -> Estimate:
    """Return the mean over units of the median of each unit's samples, with its standard error.

    The standard error is that between units, or what the spread within units explains if that is more. With one unit
    there is none. Units count equally, whatever the number of their samples.

    Args:
        unit: what a unit is.
        samples: the samples ``[n]`` of each unit, such as log-ratios of blocks; ``n`` may differ, and is 1 or more.

    Raises:
        BenchError: there is no unit, a unit has no sample, or a sample is not finite.
    """
    arrays = [_finite(sample, f"{unit}[{index}]") for index, sample in enumerate(samples)]
    if not arrays:
        raise BenchError(f"{unit} is empty; legal: the samples of 1 or more")
    medians = np.array([np.median(array) for array in arrays])
    count = len(arrays)
    error = degrees = None
    if count > 1:
        within = _within(arrays) * sum(1 / len(array) for array in arrays) / count
        error = max(math.sqrt(max(float(medians.var(ddof=1)), within) / count), _LEAST_ERROR)
        degrees = count - 1
    sizes: dict[str, Any] = {"processes": (count,)} if unit == "processes" else {"seeds": count}
    return Estimate(float(medians.mean()), error, degrees, **sizes)


def log_ratios(first: Sequence[ArrayLike], second: Sequence[ArrayLike]) -> list[Numbers]:
    """Return the log-ratios ``[blocks]`` of two methods in each process, paired by block.

    Args:
        first: for each process, the seconds per step ``[blocks]`` of one method, or ``[blocks, legs]`` if a block runs
            it several times; log-times are averaged over legs.
        second: the same of the other method; its number of legs may differ.

    Raises:
        BenchError: the numbers of processes or blocks differ, or a time is not a finite number above 0.
    """
    if len(first) != len(second):
        raise BenchError(f"{len(first)} and {len(second)} processes; legal: the same processes of both methods")
    pairs = [
        (_log_times(a, index), _log_times(b, index)) for index, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    for index, (a, b) in enumerate(pairs):
        if len(a) != len(b):
            raise BenchError(f"process {index}: {len(a)} and {len(b)} blocks; legal: the same blocks of both methods")
    return [a - b for a, b in pairs]


def _log_times(times: ArrayLike, process: int) -> Numbers:
    seconds = np.asarray(times, dtype=float)
    if seconds.ndim not in (1, 2) or not seconds.size or not (np.isfinite(seconds) & (seconds > 0)).all():
        raise BenchError(
            f"process {process}: seconds of shape {list(seconds.shape)}; legal: finite numbers above 0, [blocks] or "
            "[blocks, legs]"
        )
    logs: Numbers = np.log(seconds)
    return logs if logs.ndim == 1 else logs.mean(axis=1)


def _finite(sample: ArrayLike, name: str) -> Numbers:
    array = np.asarray(sample, dtype=float)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise BenchError(f"{name} of shape {list(array.shape)}; legal: one or more finite numbers, [n]")
    return array


def _within(arrays: Sequence[Numbers]) -> float:
    """Return the variance of a unit's median times the number of its samples, pooled over units.

    It comes from the median absolute deviation, so that stalls have no weight. Deviations from a unit's own median are
    too small by ``sqrt((n - 1) / n)``, which is corrected.
    """
    deviations = [
        np.abs(array - np.median(array)) * math.sqrt(len(array) / (len(array) - 1))
        for array in arrays
        if len(array) > 1
    ]
    if not deviations:
        return 0.0
    return _MEDIAN_VARIANCE * (_NORMAL_MAD * float(np.median(np.concatenate(deviations)))) ** 2
