"""The statistics of a latency ratio: a median over blocks and its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

# Blocks [n, 4]: seconds a step of (cell, BP, BP, cell); or numbers made of them.
Seconds = NDArray[np.float64]

_RESAMPLES = 2000
_CONFIDENCE = 0.95
# Neighbouring blocks are alike. An estimate from ten of them says little, so it counts between these bounds only. In
# simulations (tests/bench/measure/test_measure_ratio.py) the interval then holds the true ratio in 96 % of runs or more
# at an autocorrelation of 0.3, where the plain percentile bootstrap does in 85 to 91 %.
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
    """The mean of the two log-ratios of each block, ``[n]``, from ``[n, 4]``."""
    ratios: Seconds = np.log(blocks[:, [0, 3]] / blocks[:, [1, 2]]).mean(axis=1)
    return ratios


def ratio_of(processes: Sequence[Seconds]) -> Ratio:
    """The median over processes of the median over a process's blocks of its log-ratios, as a ratio.

    The interval is a hierarchical bootstrap with a fixed seed: 2000 times, as many processes are drawn with
    replacement as there are, and in each of them as many blocks. Its quantiles are not those of 2.5 and 97.5 %, which
    are too narrow for few or dependent parts, but lie further out by the factor by which a t interval of as many
    independent parts would be wider than the normal interval (Hesterberg, The American Statistician 69, 2015: the
    expanded percentile interval) and by that by which autocorrelation widens the error of a mean. The parts are the
    processes; of one process its blocks, divided by the square of the latter factor.

    Args:
        processes: for each process its blocks ``[n, 4]``.
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
    """Medians of resamples of ``sample`` ``[n]``, ``[resamples]``."""
    drawn = generator.integers(0, len(sample), (_RESAMPLES, len(sample)))
    medians: Seconds = np.median(sample[drawn], axis=1)
    return medians


def _inflation(sample: Seconds) -> float:
    """How many times wider autocorrelation makes the error of a mean, from the rank autocorrelation at lag 1."""
    ranks = stats.rankdata(sample) - (len(sample) + 1) / 2
    variance = float(ranks @ ranks)
    unbiased = float(ranks[1:] @ ranks[:-1]) / variance + 1 / len(sample) if variance else 0.0
    autocorrelation = float(np.clip(unbiased, *_AUTOCORRELATION))
    return math.sqrt((1 + autocorrelation) / (1 - autocorrelation))


def _tail(parts: float, inflation: float) -> float:
    """The share of resamples to leave out on each side."""
    if parts <= 1:
        return 0.0
    quantile = math.sqrt(parts / (parts - 1)) * stats.t.ppf((1 + _CONFIDENCE) / 2, parts - 1)
    return float(stats.norm.sf(inflation * quantile))
