"""Latency ratios: the median over blocks and its confidence interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

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
    """Return the median over processes of each process's median log-ratio, as a ratio with a 95 % interval.

    The interval is a hierarchical bootstrap with a fixed seed and 2000 resamples; a resample draws processes with
    replacement, then blocks within each process. Percentiles of 2.5 and 97.5 % would be too narrow for few or dependent
    samples, so the tails are moved outwards by two factors: the ratio of the t quantile to the normal quantile (the
    expanded percentile interval of Hesterberg, The American Statistician 69, 2015), and the inflation of the standard
    error by autocorrelation. The samples of the t quantile are the processes; with one process they are its blocks,
    their number divided by the square of the inflation.

    Args:
        processes: the blocks ``[n, 4]`` of each process.
    """
    samples = [log_ratios(blocks) for blocks in processes]
    generator = np.random.default_rng(0)
    medians = np.stack([_resampled_medians(sample, generator) for sample in samples])  # [processes, resamples]
    inflation = max(_inflation(sample) for sample in samples)
    parts = len(samples[0]) / inflation**2
    if len(samples) > 1:
        parts = len(samples)
        shape = medians.shape
        medians = medians[generator.integers(0, shape[0], shape), generator.integers(0, shape[1], shape)]
    tail = _tail(parts, inflation)
    centre = float(np.median([np.median(sample) for sample in samples]))
    low, high = np.quantile(np.median(medians, axis=0), [tail, 1 - tail])
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
    ranks = stats.rankdata(sample) - (len(sample) + 1) / 2
    variance = float(ranks @ ranks)
    unbiased = float(ranks[1:] @ ranks[:-1]) / variance + 1 / len(sample) if variance else 0.0
    autocorrelation = float(np.clip(unbiased, *_AUTOCORRELATION))
    return math.sqrt((1 + autocorrelation) / (1 - autocorrelation))


def _tail(parts: float, inflation: float) -> float:
    """Return the fraction of resamples to cut off at each end."""
    if parts <= 1:
        return 0.0
    quantile = math.sqrt(parts / (parts - 1)) * stats.t.ppf((1 + _CONFIDENCE) / 2, parts - 1)
    return float(stats.norm.sf(inflation * quantile))
