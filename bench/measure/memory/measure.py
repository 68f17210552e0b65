"""The memory pass: the bytes of one training step, by category, and what the allocator says of the same step."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.measure.memory.allocator import measure_allocator
from bench.measure.memory.categories import at_peak, timeline, told_phase_and_region
from bench.measure.memory.storages import StorageMeter, bytes_of
from bench.store.record import Memory
from bench.train.step import Step


def measure_memory(step: Step, images: Tensor, labels: Tensor, round_to: int = 1, ask_allocator: bool = True) -> Memory:
    """Runs three steps: the first for what persists, the second metered, the third under the allocator's eyes.

    The first step brings gradients and optimizer state into being. In the others, gradient buffers are zeroed in
    place, so everything that they allocate is activations and temporaries. Gradients that a rule frees within its step
    do not persist, and are temporaries, too. Deterministic.

    Args:
        step: the training step; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64, on the step's device.
        round_to: each storage counts with its bytes rounded up to a multiple of this.
        ask_allocator: whether the third step is run; tensors without contents have no allocator.
    """
    step(images, labels)
    parameters = list(step.network.parameters())
    optimizer_state = [
        value
        for optimizer in step.optimizers
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor)
    ]
    persistent = {
        "parameter_bytes": bytes_of(parameters, round_to),
        "buffer_bytes": bytes_of(list(step.network.buffers()), round_to),
        "gradient_bytes": bytes_of([parameter.grad for parameter in parameters], round_to),
        "optimizer_bytes": bytes_of(optimizer_state, round_to),
        "input_bytes": bytes_of([images, labels], round_to),
    }
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    with _no_collection():
        meter = StorageMeter(images.device, round_to)
        with told_phase_and_region(meter, step.network.trunk), meter:
            step(images, labels, gradients="zero")
        allocator = measure_allocator(step, images, labels, meter.peak) if ask_allocator else None
    return Memory(
        peak_activation_bytes=meter.peak,
        peak_total_bytes=meter.peak + sum(persistent.values()),
        **persistent,
        at_peak=at_peak(meter.events),
        timeline=timeline(meter.events, meter.operators),
        allocator=allocator,
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage collection in mid-step: it would free cycles at a moment that depends on what ran before."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
