"""The memory pass: the peak of activation bytes in one training step."""

import gc

import torch
from torch import Tensor

from bench.measure.step import TrainingStep
from bench.measure.storages import StorageMeter, bytes_of
from bench.record import Memory


def measure_memory(step: TrainingStep, images: Tensor, labels: Tensor, round_to: int = 1) -> Memory:
    """Runs two steps and meters the second; deterministic.

    The first step brings gradients and optimizer state into being. In the second, gradient buffers are zeroed in
    place, so everything that it allocates is activations and temporaries.

    Args:
        step: the training step; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64, on the step's device.
        round_to: each storage counts as the next multiple of so many bytes.
    """
    step(images, labels)
    parameters = list(step.network.parameters())
    optimizer_state = [
        value for state in step.optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    ]
    persistent = {
        "parameter_bytes": bytes_of(parameters, round_to),
        "buffer_bytes": bytes_of(list(step.network.buffers()), round_to),
        "gradient_bytes": bytes_of([parameter.grad for parameter in parameters], round_to),
        "optimizer_bytes": bytes_of(optimizer_state, round_to),
        "input_bytes": bytes_of([images, labels], round_to),
    }
    on_cuda = images.device.type == "cuda"
    # A collection in mid-step would free cycles at a moment that depends on what ran before.
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        if on_cuda:
            torch.cuda.synchronize(images.device)
        with StorageMeter(images.device, round_to) as meter:
            step(images, labels, gradients="zero")
    finally:
        if was_enabled:
            gc.enable()
    return Memory(
        peak_activation_bytes=meter.peak,
        peak_total_bytes=meter.peak + sum(persistent.values()),
        **persistent,
        at_peak=None,
        timeline=None,
        allocator=None,
    )
