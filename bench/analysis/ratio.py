"""Latency ratios: over processes, or over the blocks of one process, with a confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics.units import estimate_over
from bench.analysis.student import upper_quantile, upper_tail

# Blocks [n, 4]: seconds per step of (cell, BP, BP, cell); or values computed from them.
Seconds = NDArray[np.float64]

_RESAMPLES = 2000
_CONFIDENCE = 0.95
# Adjacent blocks are correlated. Ten blocks estimate their autocorrelation poorly, so the estimate is clipped to this
# range. In simulations (tests/bench/measure/test_measure_ratio.py) the interval then contains the true ratio in at
# least 96 % of runs at an autocorrelation of 0.3, compared with 85 to 91 % for the plain percentile bootstrap.
_AUTOCORRELATION = (0.2, 0.6)


@dataclass(frozen=True)
class Ratio:
    """A ratio and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def log_ratios(blocks: Seconds) -> Seconds:
    """Return the mean of the two log-ratios of each block, ``[n]``, from blocks ``[n, 4]``."""
    ratios: Seconds = np.log(blocks[:, [0, 3]] / blocks[:, [1, 2]]).mean(axis=1)
    return ratios


def ratio_of(processes: Sequence[Seconds]) -> Ratio:
    """Return the latency ratio of a cell to BP, with a 95 % interval.

    The log-ratio of a process is the median over its blocks. With several processes, the ratio is the mean of their
    log-ratios, and the interval is that of :func:`bench.analysis.statistics.units.estimate_over`: Student's t over
    processes, and no narrower than the spread of blocks within them explains.

    With one process, the interval is a bootstrap over its blocks, so it leaves out all variation between processes.
    It has a fixed seed and 2000 resamples. Percentiles of 2.5 and 97.5 % would be too narrow for few or dependent
    blocks, so the tails are moved outwards by two factors: the ratio of the t quantile to the normal quantile (the
    expanded percentile interval of Hesterberg, The American Statistician 69, 2015), and the inflation of the standard
    error by autocorrelation. The degrees of freedom are those of the number of blocks divided by the square of the
    inflation.

    Args:
        processes: the blocks ``[n, 4]`` of each process, one or more.
    """
    samples = [log_ratios(blocks) for blocks in processes]
    if len(samples) == 1:
        return _ratio_in_one_process(samples[0])
    estimate = estimate_over("processes", samples)
    interval = estimate.interval()
    assert interval is not None  # noqa: S101 (two or more processes have a standard error)
    return Ratio(*map(math.exp, (estimate.value, interval.low, interval.high)))


def _ratio_in_one_process(sample: Seconds) -> Ratio:
    """Return the median of the log-ratios ``[n]`` of one process as a ratio, with its bootstrap interval."""
    inflation = _inflation(sample)
    tail = _tail(len(sample) / inflation**2, inflation)
    centre = float(np.median(sample))
    low, high = np.quantile(_resampled_medians(sample, np.random.default_rng(0)), [tail, 1 - tail])
    return Ratio(math.exp(centre), math.exp(min(low, centre)), math.exp(max(high, centre)))


def _resampled_medians(sample: Seconds, generator: np.random.Generator) -> Seconds:
    """Return the medians ``[resamples]`` of bootstrap resamples of ``sample`` ``[n]``."""
    drawn = generator.integers(0, len(sample), (_RESAMPLES, len(sample)))
    medians: Seconds = np.median(sample[drawn], axis=1)
    return medians


def _inflation(sample: Seconds) -> float:
    """Return the factor by which autocorrelation inflates the standard error of a mean.

    The autocorrelation is that of ranks at lag 1.
    """
    ranks = _ranks(sample) - (len(sample) + 1) / 2
    variance = float(ranks @ ranks)
    unbiased = float(ranks[1:] @ ranks[:-1]) / variance + 1 / len(sample) if variance else 0.0
    autocorrelation = float(np.clip(unbiased, *_AUTOCORRELATION))
    return math.sqrt((1 + autocorrelation) / (1 - autocorrelation))


def _ranks(sample: Seconds) -> Seconds:
    """Return the ranks of ``sample`` from 1; equal values have their mean rank."""
    _, places, counts = np.unique(sample, return_inverse=True, return_counts=True)
    ranks: Seconds = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return ranks


def _tail(parts: float, inflation: float) -> float:
    """Return the fraction of resamples to cut off at each end."""
    if parts <= 1:
        return 0.0
    quantile = math.sqrt(parts / (parts - 1)) * upper_quantile((1 - _CONFIDENCE) / 2, parts - 1)
    return upper_tail(inflation * quantile, math.inf)
