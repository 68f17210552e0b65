"""The latency pass: a step against BP's, interleaved in one process."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from bench.measure.step import TrainingStep
from bench.record import Latency

_WARM_UP_SECONDS = 0.1
_WARM_UP_LIMIT_SECONDS = 1.0
_HALVES_AGREE = 0.1
_LEG_SECONDS = 0.005
_BLOCKS = (10, 60)
_RESAMPLES = 2000


def measure_latency(
    step: TrainingStep, baseline: TrainingStep, images: Tensor, labels: Tensor, seconds: float
) -> Latency:
    """Times ``step`` and ``baseline`` in ABBA blocks: what drifts, drifts for both.

    Each leg of a block runs its step several times, so that the timer's resolution doesn't matter. Every second block
    is mirrored (BAAB). Where ``step`` is BP itself, this is an A/A run, and its ratio should be 1 within its interval.

    Args:
        step: the training step to measure; its weights change.
        baseline: BP's, with a network of its own.
        images: one batch, ``[B, channels, H, W]``, on the steps' device.
        labels: ``[B]``, int64.
        seconds: how long to sample; at least 10 blocks are run, and at most 60.
    """
    legs: tuple[Callable[[], object], Callable[[], object]] = (
        partial(step, images, labels),
        partial(baseline, images, labels),
    )
    clock = _CudaClock() if images.device.type == "cuda" else _CpuClock()
    warm = [_warm_up(leg, clock) for leg in legs]
    loops = max(1, math.ceil(_LEG_SECONDS / min(leg_seconds for _, leg_seconds in warm)))
    blocks: list[tuple[float, float, float, float]] = []
    end = perf_counter() + seconds
    while len(blocks) < _BLOCKS[0] or (len(blocks) < _BLOCKS[1] and perf_counter() < end):
        mirrored = len(blocks) % 2 == 1
        first, second = legs[mirrored], legs[not mirrored]
        a, b, b_again, a_again = clock.time([first, second, second, first], loops)
        blocks.append((b, a, a_again, b_again) if mirrored else (a, b, b_again, a_again))
    return summarise(blocks, loops, sum(steps for steps, _ in warm), len(labels))


def summarise(
    blocks: Sequence[tuple[float, float, float, float]], loops: int, warm_up_steps: int, batch_size: int
) -> Latency:
    """Ratio, interval and spread of ABBA blocks, each ``(step, BP, BP, step)`` in seconds a step.

    The ratio is the median over blocks of the mean of a block's two log-ratios; the interval its 95 % percentile
    bootstrap over blocks, with a fixed seed.
    """
    seconds = np.array(blocks)
    own, baseline = seconds[:, [0, 3]], seconds[:, [1, 2]]
    log_ratios = np.log(own / baseline).mean(axis=1)
    interval = stats.bootstrap(
        (log_ratios,), np.median, n_resamples=_RESAMPLES, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Latency(
        median_seconds=float(np.median(own)),
        iqr_seconds=_iqr(own),
        bp_median_seconds=float(np.median(baseline)),
        bp_iqr_seconds=_iqr(baseline),
        ratio_to_bp=math.exp(float(np.median(log_ratios))),
        ratio_ci95=(math.exp(float(interval.low)), math.exp(float(interval.high))),
        samples_per_second=batch_size / float(np.median(own)),
        noisy_because=None,
        shares=None,
        loops=loops,
        warm_up_steps=warm_up_steps,
        blocks_by_process=[len(blocks)],
        blocks_seconds=[(float(a), float(b), float(c), float(d)) for a, b, c, d in seconds.round(9)],
    )


def _iqr(seconds: NDArray[np.float64]) -> float:
    return float(np.subtract(*np.percentile(seconds, [75, 25])))


class _CpuClock:
    """Wall-clock time of legs run one after the other."""

    def time(self, legs: Sequence[Callable[[], object]], loops: int) -> list[float]:
        """Seconds a step of each leg, each run ``loops`` times."""
        marks = [perf_counter()]
        for leg in legs:
            for _ in range(loops):
                leg()
            marks.append(perf_counter())
        return [(end - start) / loops for start, end in pairwise(marks)]


class _CudaClock:
    """Device time of legs between events in the stream; the host waits once, after the last leg."""

    def time(self, legs: Sequence[Callable[[], object]], loops: int) -> list[float]:
        """Seconds a step of each leg, each run ``loops`` times."""
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(legs) + 1)]
        marks[0].record()
        for leg, mark in zip(legs, marks[1:], strict=True):
            for _ in range(loops):
                leg()
            mark.record()
        marks[-1].synchronize()
        return [
            start.elapsed_time(end) / 1000 / loops  # events count milliseconds
            for start, end in pairwise(marks)
        ]


def _warm_up(leg: Callable[[], object], clock: _CpuClock | _CudaClock) -> tuple[int, float]:
    """Doubles the steps until they take 0.1 s and their halves agree; returns steps run and seconds a step."""
    leg()  # the first step allocates optimizer state and loads kernels, which the limit is not for
    steps, loops = 1, 1
    give_up = perf_counter() + _WARM_UP_LIMIT_SECONDS
    while True:
        first, second = clock.time([leg, leg], loops)
        steps += 2 * loops
        is_stable = abs(first - second) <= _HALVES_AGREE * second and 2 * loops * second >= _WARM_UP_SECONDS
        if is_stable or perf_counter() >= give_up:
            return steps, second
        if 2 * loops * second < _WARM_UP_SECONDS:
            loops *= 2
