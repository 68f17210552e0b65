"""Machines that disturb a measurement: blocks of (cell, BP, BP, cell) in seconds a step, ``[n, 4]``."""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Blocks = NDArray[np.float64]

SPREAD = 0.03  # of a block's log-ratio; the reference machine's is 0.02 to 0.05
# The place of (cell, BP, BP, cell) in a block and in its mirror image.
_PLACES = np.array([[0, 1, 2, 3], [1, 0, 3, 2]])


def steady(
    generator: np.random.Generator,
    count: int,
    ratio: float = 1.0,
    autocorrelation: float = 0.3,
    heavy_tails: bool = False,
) -> Blocks:
    """A machine that only jitters; the log-ratios of neighbouring blocks have the autocorrelation given."""
    size = count + 50
    noise = generator.standard_t(3, size) / np.sqrt(3) if heavy_tails else generator.standard_normal(size)
    scale = SPREAD * np.sqrt(1 - autocorrelation**2)
    log_ratio = np.log(ratio) + scale * signal.lfilter([1.0], [1.0, -autocorrelation], noise)[50:]
    level = np.log(0.01) + 0.02 * generator.standard_normal(count)
    own, baseline = SPREAD * generator.standard_normal((2, count))
    logs = [level + log_ratio + own, level + baseline, level - baseline, level + log_ratio - own]
    blocks: Blocks = np.exp(np.stack(logs, axis=1))
    return blocks


def drifting(blocks: Blocks, log_rate: float) -> Blocks:
    """The machine slows down by ``log_rate`` a leg, all through the run."""
    index = np.arange(len(blocks))
    legs = 4 * index[:, None] + _PLACES[index % 2]
    drifted: Blocks = blocks * np.exp(log_rate * legs)
    return drifted


def stalling(generator: np.random.Generator, blocks: Blocks, share: float) -> Blocks:
    """Now and then a leg takes up to several times as long."""
    stalls = (generator.random(blocks.shape) < share) * generator.exponential(2.0, blocks.shape)
    stalled: Blocks = blocks * (1 + stalls)
    return stalled


def contended(blocks: Blocks, first: float, last: float, slower: float) -> Blocks:
    """From the share ``first`` to the share ``last`` of the run, something slows down the cell's step but not BP's."""
    position = np.arange(len(blocks)) / len(blocks)
    factor = np.where((position >= first) & (position < last), 1 + slower, 1.0)
    slowed = blocks.copy()
    slowed[:, [0, 3]] *= factor[:, None]
    return slowed
