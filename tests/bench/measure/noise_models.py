"""Simulated machines that disturb a measurement: blocks ``[n, 4]`` of (cell, BP, BP, cell) in seconds per step."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Blocks = NDArray[np.float64]

SPREAD = 0.03  # of a block's log-ratio; the reference machine's is 0.02 to 0.05
# The position of (cell, BP, BP, cell) in a block and in its mirror image.
_PLACES = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])


def steady(
    generator: np.random.Generator,
    count: int,
    ratio: float = 1.0,
    autocorrelation: float = 0.3,
    heavy_tails: bool = False,
    spread: float = SPREAD,
) -> Blocks:
    """Return blocks with jitter only; the log-ratios of neighbouring blocks have the given autocorrelation."""
    size = count + 50
    noise = generator.standard_t(3, size) / np.sqrt(3) if heavy_tails else generator.standard_normal(size)
    scale = spread * np.sqrt(1 - autocorrelation**2)
    log_ratio = np.log(ratio) + scale * signal.lfilter([1.0], [1.0, -autocorrelation], noise)[50:]
    level = np.log(0.01) + 0.02 * generator.standard_normal(count)
    own, baseline = spread * generator.standard_normal((2, count))
    logs = [level + log_ratio + own, level + baseline, level - baseline, level + log_ratio - own]
    blocks: Blocks = np.exp(np.stack(logs, axis=1))
    return blocks


def drifting(blocks: Blocks, log_rate: float) -> Blocks:
    """Slow the machine down by ``log_rate`` per step time, throughout the run."""
    index = np.arange(len(blocks))
    legs = 4 * index[:, None] + _PLACES[index % 2]
    drifted: Blocks = blocks * np.exp(log_rate * legs)
    return drifted


def stalling(generator: np.random.Generator, blocks: Blocks, share: float) -> Blocks:
    """Make a fraction ``share`` of the step times up to several times as long."""
    stalls = (generator.random(blocks.shape) < share) * generator.exponential(2.0, blocks.shape)
    stalled: Blocks = blocks * (1 + stalls)
    return stalled


def contended(blocks: Blocks, first: float, last: float, slower: float) -> Blocks:
    """Slow down the cell's step, but not BP's, from the fraction ``first`` to the fraction ``last`` of the run."""
    position = np.arange(len(blocks)) / len(blocks)
    factor = np.where((position >= first) & (position < last), 1 + slower, 1.0)
    slowed = blocks.copy()
    slowed[:, [0, 3]] *= factor[:, None]
    return slowed
