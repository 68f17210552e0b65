"""The latency pass: a step compared with BP's, interleaved in one process."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bench.analysis.ratio import Seconds, ratio_of
from bench.analysis.reliability import FEWEST_BLOCKS, noisy_because
from bench.measure.clock import Clock, clock_for, collector_paused
from bench.measure.latency.probe import ParallelProbe
from bench.measure.latency.sample import Sample
from bench.measure.latency.shares import measure_shares
from bench.measure.latency.usage import Usage, per_step, read_usage
from bench.store.record import Latency, Shares, TimedProcess
from bench.train.step import TrainingStep

_WARM_UP_SECONDS = 0.1
_WARM_UP_LIMIT_SECONDS = 1.0
_HALVES_AGREE = 0.1
_LEG_SECONDS = 0.005
_RESOLUTION_SHARE = 0.001  # the clock's resolution as a share of a leg: far below any ratio of interest
_MOST_BLOCKS = 60
# Where the usual number of blocks would take longer than this, fewer are run, and the record says so.
_SLOW_SECONDS = 60.0
_FEWEST_SLOW_BLOCKS = 4

Leg = Callable[[int], object]  # runs its step so many times
Timed = Callable[[], AbstractContextManager[object]]


def sample_latency(
    step: TrainingStep,
    baseline: TrainingStep,
    images: Tensor,
    labels: Tensor,
    seconds: float,
    loops: int | None = None,
    timed: Timed = nullcontext,
) -> Sample:
    """Times ``step`` and ``baseline`` in ABBA blocks, so that a drift of the machine affects both alike.

    Each leg of a block runs its step several times, so that the clock's resolution is below 0.1 % of it. Blocks come
    in pairs, the second mirrored (BAAB), so both kinds of step run equally often at each place of a block. Python's
    garbage collector runs between blocks only.

    The two steps should share one network and one optimizer (:meth:`TrainingStep.baseline`). The place of a network in
    memory changes a step by 1 to 4 %: of two equal networks in one process, the one built first was slower.

    Args:
        step: the training step to measure; its weights change.
        baseline: BP's, on the same network.
        images: one batch, ``[B, channels, H, W]``, on the steps' device.
        labels: ``[B]``, int64.
        seconds: how long to sample. At least 10 blocks are run, or as many as a minute allows and at least 4; at most
            60.
        loops: steps per leg; None: as many as take 5 ms.
        timed: makes the context of all that is timed (:meth:`TrainingStep.timed`).
    """
    legs = (_leg(partial(step, images, labels)), _leg(partial(baseline, images, labels)))
    threads = torch.get_num_threads()
    probe = ParallelProbe(threads) if images.device.type == "cpu" and threads > 1 else None
    return sample_legs(legs, clock_for(images.device), seconds, loops, timed, in_this_process=True, probe=probe)


def sample_legs(
    legs: tuple[Leg, Leg],
    clock: Clock,
    seconds: float,
    loops: int | None = None,
    timed: Timed = nullcontext,
    *,
    in_this_process: bool = False,
    probe: ParallelProbe | None = None,
) -> Sample:
    """As :func:`sample_latency`, for anything that can run so many steps in a row.

    Args:
        legs: the cell's, then BP's.
        clock: for both.
        seconds: how long to sample.
        loops: steps per leg.
        timed: makes the context of all that is timed.
        in_this_process: whether all work of the legs is in this process, so that the kernel's counts are those of the
            legs.
        probe: asked before each block.
    """
    warm = [_warm_up(leg, clock) for leg in legs]
    leg_seconds = max(_LEG_SECONDS, clock.resolution_seconds / _RESOLUTION_SHARE)
    loops = loops or max(1, math.ceil(leg_seconds / min(step_seconds for _, step_seconds in warm)))
    blocks: list[tuple[float, float, float, float]] = []
    efficiency: list[float] = []
    used: tuple[list[tuple[Usage, Usage]], list[tuple[Usage, Usage]]] = ([], [])
    with collector_paused(), timed():
        start = time.perf_counter()
        while not _is_enough(len(blocks), time.perf_counter() - start, seconds):
            mirrored = len(blocks) % 2 == 1
            first, second = int(mirrored), int(not mirrored)
            if probe is not None:
                efficiency.append(probe.efficiency())
            order = [first, second, second, first]
            (a, b, b_again, a_again), usage = _time(clock, [legs[index] for index in order], loops)
            for index, before_and_after in zip(order, pairwise(usage), strict=True):
                used[index].append(before_and_after)
            blocks.append((b, a, a_again, b_again) if mirrored else (a, b, b_again, a_again))
            gc.collect(0)  # frees cycles that the block has left; older objects are not examined
    own_usage, bp_usage = (per_step(counts, loops) if in_this_process else None for counts in used)
    return Sample(
        blocks_seconds=blocks,
        loops=loops,
        warm_up_steps=sum(steps for steps, _ in warm),
        usage=own_usage,
        bp_usage=bp_usage,
        parallel_efficiency=efficiency if probe is not None else None,
    )


def measure_latency(
    step: TrainingStep,
    baseline: TrainingStep,
    images: Tensor,
    labels: Tensor,
    seconds: float,
    *,
    is_baseline: bool = False,
    earlier: Sequence[Sample] = (),
    timed: Timed = nullcontext,
) -> Latency:
    """Samples as :func:`sample_latency` does, follows the step's phases, and does the statistics.

    Args:
        step: the training step to measure; its weights change.
        baseline: BP's, on the same network.
        images: one batch, ``[B, channels, H, W]``, on the steps' device.
        labels: ``[B]``, int64.
        seconds: how long to sample.
        is_baseline: whether ``step`` is BP's, too: then this is an A/A run, whose ratio should be 1.
        earlier: what other processes have sampled of the same cell.
        timed: as for :func:`sample_latency`.
    """
    sample = sample_latency(step, baseline, images, labels, seconds, earlier[0].loops if earlier else None, timed)
    with timed():
        shares = measure_shares(step, images, labels)
    return summarise([*earlier, sample], len(labels), shares=shares, is_baseline=is_baseline)


def summarise(
    samples: Sequence[Sample], batch_size: int, *, shares: Shares | None = None, is_baseline: bool = False
) -> Latency:
    """Ratio, interval, verdict and spread of the blocks of all processes.

    See :func:`bench.analysis.ratio.ratio_of` and :func:`bench.analysis.reliability.noisy_because`.

    Args:
        samples: one per process.
        batch_size: labels a step.
        shares: goes into the result as it is.
        is_baseline: whether the cell is BP's, whose ratio should be 1.
    """
    processes = [np.array(sample.blocks_seconds) for sample in samples]
    blocks = np.concatenate(processes)
    own, baseline = blocks[:, [0, 3]], blocks[:, [1, 2]]
    ratio = ratio_of(processes)
    timed = [_timed_process(sample) for sample in samples]
    return Latency(
        median_seconds=float(np.median(own)),
        iqr_seconds=_iqr(own),
        bp_median_seconds=float(np.median(baseline)),
        bp_iqr_seconds=_iqr(baseline),
        ratio_to_bp=ratio.value,
        ratio_ci95=(ratio.low, ratio.high),
        samples_per_second=batch_size / float(np.median(own)),
        noisy_because=noisy_because(processes, ratio, is_baseline, timed),
        shares=shares,
        loops=samples[0].loops,
        warm_up_steps=sum(sample.warm_up_steps for sample in samples),
        blocks_by_process=[len(process) for process in processes],
        blocks_seconds=[(float(a), float(b), float(c), float(d)) for a, b, c, d in blocks.round(9)],
        processes=timed,
    )


def _timed_process(sample: Sample) -> TimedProcess:
    blocks = np.array(sample.blocks_seconds)
    return TimedProcess(
        median_seconds=float(np.median(blocks[:, [0, 3]])),
        bp_median_seconds=float(np.median(blocks[:, [1, 2]])),
        usage=sample.usage,
        bp_usage=sample.bp_usage,
        parallel_efficiency=sample.parallel_efficiency,
    )


def _iqr(seconds: Seconds) -> float:
    return float(np.subtract(*np.percentile(seconds, [75, 25])))


def _is_enough(blocks: int, elapsed_seconds: float, seconds: float) -> bool:
    """Whether to stop after so many blocks; never between a block and its mirror image."""
    if blocks % 2:
        return False
    if blocks >= FEWEST_BLOCKS:
        return blocks >= _MOST_BLOCKS or elapsed_seconds >= seconds
    return blocks >= _FEWEST_SLOW_BLOCKS and elapsed_seconds >= max(seconds, _SLOW_SECONDS)


def _leg(step: Callable[[], object]) -> Leg:
    def run(loops: int) -> None:
        for _ in range(loops):
            step()

    return run


def _time(clock: Clock, legs: Sequence[Leg], loops: int) -> tuple[list[float], list[Usage]]:
    """Seconds a step of each leg, each run ``loops`` times, and the kernel's counts before, between and after them."""
    usage = [read_usage()]
    marks = [clock.mark()]
    for leg in legs:
        leg(loops)
        marks.append(clock.mark())
        usage.append(read_usage())  # about a microsecond at the start of the next leg
    return [seconds / loops for seconds in clock.seconds_between(marks)], usage


def _warm_up(leg: Leg, clock: Clock) -> tuple[int, float]:
    """Doubles the steps until they take 0.1 s and their halves agree; returns the steps run and seconds per step."""
    leg(1)  # the first step allocates optimizer state and loads kernels, which the limit is not for
    steps, loops = 1, 1
    give_up = time.perf_counter() + _WARM_UP_LIMIT_SECONDS
    while True:
        (first, second), _ = _time(clock, [leg, leg], loops)
        steps += 2 * loops
        is_stable = abs(first - second) <= _HALVES_AGREE * second and 2 * loops * second >= _WARM_UP_SECONDS
        if is_stable or time.perf_counter() >= give_up:
            return steps, second
        if 2 * loops * second < _WARM_UP_SECONDS:
            loops *= 2
