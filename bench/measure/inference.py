"""The inference pass: what a prediction of the trained network costs, beside one of the plain network.

A prediction is what the accuracy pass evaluates: the last module's logits, in evaluation mode, without gradients. The
last module takes the belief of the module before it, so SID's prediction runs every module, heads included, in a
cascade as in a pipeline: without the earlier heads, the last head of a pipeline would lack its input. A method with
another way to read its network predicts in that way. ``bp-plain`` gives the last head the initial belief, so that it
runs the backbone and one head.

The plain network is that of the same cell with one module: the trunk or the backbone, all hidden layers, and one head.
It is what somebody who trains by BP runs. What a network predicts does not matter here, so neither is trained.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from bench.config.check import plain_network_of
from bench.errors import BenchError
from bench.measure.clock import clock_for, collector_paused
from bench.measure.latency.measure import sample_legs, summarise
from bench.measure.latency.probe import ParallelProbe
from bench.measure.latency.sample import Sample
from bench.measure.memory.child_processes import no_child_processes
from bench.measure.memory.operators_by_thread import count_threads
from bench.measure.memory.storages import StorageMeter
from bench.measure.memory.threads import follow_threads, has_unfollowed_threads, lend_modes
from bench.store.record import Inference
from bench.train.step import TrainingStep, build_step


class InferenceMemory(NamedTuple):
    """Bytes of one prediction.

    Attributes:
        peak_activation_bytes: the peak of the storages that the prediction creates.
        peak_total_bytes: that and all parameters, buffers and images that it reads.
    """

    peak_activation_bytes: int
    peak_total_bytes: int


def measure_inference(step: TrainingStep, images: Tensor, seconds: float, earlier: Sequence[Sample] = ()) -> Inference:
    """Measure bytes and times of predictions, and do the statistics.

    Args:
        step: a newly built training step of a cell.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        seconds: how long to sample.
        earlier: what other processes have sampled of the same cell.

    Raises:
        BenchError: see :func:`measure_inference_memory`.
        ConfigError: the network cannot be built with one module.
    """
    memory = measure_inference_memory(step, images)
    plain = measure_inference_memory(plain_step(step, images), images)
    sample = sample_inference(step, images, seconds, earlier[0].loops if earlier else None)
    return summarise_inference(memory, plain, [*earlier, sample], len(images), is_plain=_is_plain(step))


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
    with torch.no_grad(), step.autocast(images.device):
        prediction = deque(step.logits_by_module(step.plain_network or step.network, images), maxlen=1).pop()
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


def sample_inference(step: TrainingStep, images: Tensor, seconds: float, loops: int | None = None) -> Sample:
    """Time predictions of the network of ``step`` and of the plain network in ABBA blocks.

    Args:
        step: its network is put into evaluation mode.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        seconds: how long to sample; see :func:`bench.measure.latency.measure.sample_latency`.
        loops: predictions per leg; None: as many as take 5 ms.

    Returns:
        The sample of this process, with the plain network in the place of BP.
    """
    steps = (step, plain_step(step, images))
    for each in steps:
        each.network.eval()
    own, plain = (partial(_predict_repeatedly, each, images) for each in steps)
    threads = torch.get_num_threads()
    probe = ParallelProbe(threads) if images.device.type == "cpu" and threads > 1 else None
    return sample_legs((own, plain), clock_for(images.device), seconds, loops, in_this_process=True, probe=probe)


def summarise_inference(
    memory: InferenceMemory,
    plain_memory: InferenceMemory,
    samples: Sequence[Sample],
    batch_size: int,
    *,
    is_plain: bool = False,
) -> Inference:
    """Put bytes and times together.

    Args:
        memory: of the network of the cell.
        plain_memory: of the plain network.
        samples: one per process.
        batch_size: images in a prediction.
        is_plain: whether both networks are one, whose ratio should be 1.
    """
    times = summarise(samples, batch_size, is_baseline=is_plain)
    return Inference(
        peak_activation_bytes=memory.peak_activation_bytes,
        peak_total_bytes=memory.peak_total_bytes,
        plain_peak_activation_bytes=plain_memory.peak_activation_bytes,
        plain_peak_total_bytes=plain_memory.peak_total_bytes,
        median_seconds=times.median_seconds,
        plain_median_seconds=times.bp_median_seconds,
        ratio_to_plain=times.ratio_to_bp,
        ratio_ci95=times.ratio_ci95,
        samples_per_second=times.samples_per_second,
        noisy_because=times.noisy_because,
        loops=times.loops,
        warm_up_predictions=times.warm_up_steps,
        blocks_by_process=times.blocks_by_process,
        blocks_seconds=times.blocks_seconds,
        processes=times.processes,
    )


def _is_plain(step: TrainingStep) -> bool:
    return len(step.network.local_modules) == 1


def _predict_repeatedly(step: TrainingStep, images: Tensor, loops: int) -> None:
    for _ in range(loops):
        predict(step, images)
