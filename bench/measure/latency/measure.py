"""The latency of one step compared with BP's, interleaved in one process."""

import random
from contextlib import nullcontext
from functools import partial

from torch import Tensor

from bench.analysis.latency import summarise
from bench.measure.clock import clock_for
from bench.measure.latency.legs import Timed, causes_of_leg_errors, leg_of, sample_legs
from bench.measure.latency.probe import probe_for
from bench.measure.latency.shares import measure_shares
from bench.store.measurements.latency import Latency
from bench.store.sample import Sample
from bench.train.step import TrainingStep


def sample_latency(
    step: TrainingStep,
    baseline: TrainingStep,
    images: Tensor,
    labels: Tensor,
    seconds: float,
    loops: int | None = None,
    timed: Timed = nullcontext,
) -> Sample:
    """Times ``step`` and ``baseline`` as :func:`bench.measure.latency.legs.sample_legs` does.

    The two steps should share one network and one optimizer (:meth:`TrainingStep.baseline`). The place of a network in
    memory changes a step by 1 to 4 %: of two equal networks in one process, the one built first was slower.

    Args:
        step: the training step to measure; its weights change.
        baseline: BP's, on the same network.
        images: one batch, ``[B, channels, H, W]``, on the steps' device.
        labels: ``[B]``, int64.
        seconds: how long to sample.
        loops: steps per leg; None: as many as take 5 ms.
        timed: makes the context of all that is timed (:meth:`TrainingStep.timed`).
    """
    with causes_of_leg_errors():
        return sample_steps([step], baseline, images, labels, seconds, loops=loops, timed=timed)[0]


def sample_steps(
    steps: list[TrainingStep],
    baseline: TrainingStep,
    images: Tensor,
    labels: Tensor,
    seconds: float,
    *,
    loops: int | None = None,
    timed: Timed = nullcontext,
    order: random.Random | None = None,
    fewest_blocks: int | None = None,
) -> list[Sample]:
    """As :func:`sample_latency`, for several ``steps``, of which each has a sample; the order of blocks may vary.

    Raises:
        bench.measure.latency.legs.LegError: a step has raised an exception.
    """
    fewest = {} if fewest_blocks is None else {"fewest_blocks": fewest_blocks}
    return sample_legs(
        [leg_of(partial(step, images, labels)) for step in steps],
        leg_of(partial(baseline, images, labels)),
        clock_for(images.device),
        seconds,
        loops=loops,
        timed=timed,
        order=order,
        in_this_process=True,
        probe=probe_for(images.device),
        **fewest,
    )


def measure_latency(
    step: TrainingStep,
    baseline: TrainingStep,
    images: Tensor,
    labels: Tensor,
    seconds: float,
    *,
    is_baseline: bool = False,
    timed: Timed = nullcontext,
) -> Latency:
    """Samples as :func:`sample_latency` does, follows the step's phases, and does the statistics of this process.

    Args:
        step: the training step to measure; its weights change.
        baseline: BP's, on the same network.
        images: one batch, ``[B, channels, H, W]``, on the steps' device.
        labels: ``[B]``, int64.
        seconds: how long to sample.
        is_baseline: whether ``step`` is BP's, too: then this is an A/A run, whose ratio should be 1.
        timed: as for :func:`sample_latency`.
    """
    sample = sample_latency(step, baseline, images, labels, seconds, timed=timed)
    with timed():
        shares = measure_shares(step, images, labels)
    return summarise([sample], len(labels), shares=shares, is_baseline=is_baseline)
