"""The memory pass: the bytes of one training step by category, and the allocator's count of the same step."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.measure.clock import collector_paused
from bench.measure.memory.allocator import measure_allocator
from bench.measure.memory.categories import at_peak, phase_and_region_for, timeline
from bench.measure.memory.child_processes import no_child_processes
from bench.measure.memory.operators_by_thread import count_threads
from bench.measure.memory.persistent import persistent_bytes
from bench.measure.memory.storages import StorageMeter
from bench.measure.memory.threads import follow_threads, has_unfollowed_threads, lend_modes
from bench.store.measurements.memory import Memory
from bench.train.step import Step


def measure_memory(
    step: Step,
    images: Tensor,
    labels: Tensor,
    round_to: int = 1,
    ask_allocator: bool = True,
    *,
    meter: StorageMeter | None = None,
    during: AbstractContextManager[object] | None = None,
) -> Memory:
    """Run four steps: to create persistent tensors, to count threads, for the exact instrument, for the allocator's.

    The first step creates gradients and optimizer state. In the other steps, gradient buffers are zeroed in place, so
    all bytes that they allocate are activations or temporary. Gradients that a rule frees within its step are
    temporary. The result is deterministic, except for a rule that computes in several threads, whose peak depends on
    what the threads hold at the same time. Threads that the step starts are followed, see
    :func:`bench.measure.memory.threads.follow_threads`.

    Args:
        step: the training step; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64, on the step's device.
        round_to: the bytes of each storage are rounded up to a multiple of this.
        ask_allocator: whether to run the fourth step; tensors without contents have no allocator. Without it, the
            second step is left out, too, unless there are threads that are not followed.
        meter: the exact instrument, new, which holds the events afterwards; None for one with ``round_to``.
        during: a context for the third step, which is entered before the exact instrument.

    Raises:
        BenchError: the step allocates nothing, some of its operators run in a thread that cannot be followed, or it
            starts processes.
    """
    exact = StorageMeter(images.device, round_to) if meter is None else meter
    with follow_threads(), no_child_processes():
        return _measure(step, images, labels, round_to, ask_allocator, exact, during or nullcontext())


def _measure(
    step: Step,
    images: Tensor,
    labels: Tensor,
    round_to: int,
    ask_allocator: bool,
    meter: StorageMeter,
    during: AbstractContextManager[object],
) -> Memory:
    with lend_modes():
        step(images, labels)
    persistent = persistent_bytes(step, images, labels, round_to)
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    with collector_paused():
        threads = 1
        if ask_allocator or has_unfollowed_threads():
            threads = count_threads(lambda: step(images, labels, gradients="zero"))
        with phase_and_region_for(meter, step.network.trunk), during, meter, lend_modes():
            step(images, labels, gradients="zero")
        if meter.peak == 0:
            raise BenchError("memory cannot be measured: the training step allocates no tensor")
        allocator = measure_allocator(step, images, labels, meter.peak, threads) if ask_allocator else None
    return Memory(
        peak_activation_bytes=meter.peak,
        peak_total_bytes=meter.peak + sum(persistent.values()),
        **persistent,
        at_peak=at_peak(meter.events),
        timeline=timeline(meter.events, meter.operators),
        allocator=allocator,
    )
