"""The inference pass: what a prediction of the trained network costs, beside one of the plain network.

A prediction is what the accuracy pass evaluates: the last module's logits, in evaluation mode, without gradients. The
last module takes the belief of the module before it, so SID's prediction runs every module, heads included, in a
cascade as in a pipeline: without the earlier heads, the last head of a pipeline would lack its input. A method with
another way to read its network predicts in that way. ``bp-plain`` gives the last head the initial belief, so that it
runs the backbone and one head.

The plain network is that of the same cell with one module: the trunk or the backbone, all hidden layers, and one head.
It is what somebody who trains by BP runs. What a network predicts does not matter here, so neither is trained.
"""

import random
from collections import deque
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bench.analysis.reliability import FEWEST_BLOCKS
from bench.config.check import plain_network_of
from bench.errors import BenchError
from bench.measure.clock import clock_for, collector_paused
from bench.measure.latency.legs import causes_of_leg_errors, leg_of, sample_legs
from bench.measure.latency.probe import probe_for
from bench.measure.memory.child_processes import no_child_processes
from bench.measure.memory.operators_by_thread import count_threads
from bench.measure.memory.storages import StorageMeter
from bench.measure.memory.threads import follow_threads, has_unfollowed_threads, lend_modes
from bench.store.sample import PredictionBytes, Sample
from bench.train.step import TrainingStep, build_step


class InferenceMemory(NamedTuple):
    """Bytes of one prediction.

    Attributes:
        peak_activation_bytes: the peak of the storages that the prediction creates.
        peak_total_bytes: that and all parameters, buffers and images that it reads.
    """

    peak_activation_bytes: int
    peak_total_bytes: int


def measure_inference_bytes(step: TrainingStep, images: Tensor) -> PredictionBytes:
    """Count the bytes of a prediction and of one of the plain network.

    Args:
        step: a newly built training step of a cell.
        images: one batch, ``[B, channels, H, W]``, on the step's device.

    Raises:
        BenchError: see :func:`measure_inference_memory`.
        ConfigError: the network cannot be built with one module.
    """
    own = measure_inference_memory(step, images)
    plain = measure_inference_memory(plain_step(step, images), images)
    return PredictionBytes(
        peak_activation_bytes=own.peak_activation_bytes,
        peak_total_bytes=own.peak_total_bytes,
        plain_peak_activation_bytes=plain.peak_activation_bytes,
        plain_peak_total_bytes=plain.peak_total_bytes,
    )


def plain_step(step: TrainingStep, images: Tensor) -> TrainingStep:
    """Return a step with the plain network of the cell of ``step``: a new one, or ``step`` if it has one module.

    Raises:
        ValueError: the step was made by hand, without a cell.
        ConfigError: the network cannot be built with one module.
    """
    if step.cell is None:
        raise ValueError("a step without a cell has no plain network")
    channels, height, width = images.shape[1:]
    return (
        step
        if _is_plain(step)
        else build_step(plain_network_of(step.cell), (channels, height, width), step.network.classes)
    )


def predict(step: TrainingStep, images: Tensor) -> Tensor:
    """Return the logits of the last module for ``images`` ``[B, ...]``: ``[B, C]``, without gradients.

    Raises:
        RuntimeError: the method has no logits for the last module.
    """
    network = step.plain_network or step.network
    with torch.no_grad(), step.autocast(images.device):
        if step.predict is not None:
            return step.predict(network, images)
        prediction = deque(step.logits_by_module(network, images), maxlen=1).pop()
    if prediction is None:
        raise RuntimeError("the method's logits_by_module returned None for the last module; legal: a tensor")
    return prediction


def measure_inference_memory(step: TrainingStep, images: Tensor, round_to: int = 1) -> InferenceMemory:
    """Count the bytes of a prediction with the exact instrument of training steps.

    The first of two predictions creates what stays. Bytes of heads that a prediction does not run do not count, since
    it can do without them.

    Args:
        step: its network is put into evaluation mode.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        round_to: the bytes of each storage are rounded up to a multiple of this.

    Raises:
        BenchError: the prediction allocates nothing, some of its operators run in a thread that cannot be followed, or
            it starts processes.
    """
    step.network.eval()
    with follow_threads(), no_child_processes(), collector_paused():
        with lend_modes():
            predict(step, images)
        if has_unfollowed_threads():
            count_threads(lambda: predict(step, images))
        with StorageMeter(images.device, round_to) as meter, lend_modes():
            predict(step, images)
            existing = meter.existing_bytes
    if meter.peak == 0:
        raise BenchError("memory cannot be measured: the prediction allocates no tensor")
    return InferenceMemory(meter.peak, meter.peak + existing)


def sample_inference(
    step: TrainingStep,
    images: Tensor,
    seconds: float,
    *,
    loops: int | None = None,
    fewest_blocks: int = FEWEST_BLOCKS,
    order: random.Random | None = None,
) -> Sample:
    """Time predictions of the network of ``step`` and of the plain network in ABBA blocks.

    Args:
        step: its network is put into evaluation mode.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        seconds: how long to sample; see :func:`bench.measure.latency.legs.sample_legs`.
        loops: predictions per leg; None: as many as take 5 ms.
        fewest_blocks: an even number.
        order: chooses the order of each pair of blocks.

    Returns:
        The sample of this process, with the plain network in the place of BP.
    """
    steps = (step, plain_step(step, images))
    for each in steps:
        each.network.eval()
    own, plain = (leg_of(partial(predict, each, images)) for each in steps)
    with causes_of_leg_errors():
        (sample,) = sample_legs(
            [own],
            plain,
            clock_for(images.device),
            seconds,
            loops=loops,
            fewest_blocks=fewest_blocks,
            order=order,
            in_this_process=True,
            probe=probe_for(images.device),
        )
    return sample


def _is_plain(step: TrainingStep) -> bool:
    return len(step.network.local_modules) == 1
