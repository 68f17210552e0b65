"""The memory pass of compiled steps, whose operators no dispatch mode sees: bytes by the allocator's instrument."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.autograd.profiler import profile

from bench.measure.clock import collector_paused
from bench.measure.memory.allocator import allocations
from bench.measure.memory.child_processes import no_child_processes
from bench.measure.memory.persistent import persistent_bytes
from bench.store.measurements.memory import Memory
from bench.train.step import TrainingStep


def measure_compiled_memory(step: TrainingStep, images: Tensor, labels: Tensor) -> Memory:
    """Count the bytes that the CPU's allocator hands out in a step of ``step``, and in one of BP on the same network.

    A compiled backward pass returns all gradients at once, so buffers that exist before would be counted twice.
    Therefore the gradients of the step before are freed, and the storages that become gradients are left out of the
    count; they are persistent bytes. Whatever else the step allocates is counted, workspaces inside operators included,
    and scratch memory that a compiled kernel has on its stack is not.

    Args:
        step: a compiled step; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the CPU.
        labels: ``[B]``, int64.

    Raises:
        BenchError: the step starts processes.
    """
    baseline = step.baseline()
    with collector_paused():
        of_bp, persistent_of_bp = _peak(baseline, images, labels)
        peak, persistent = _peak(step, images, labels)
    return Memory(
        peak_activation_bytes=peak,
        peak_total_bytes=peak + sum(persistent.values()),
        **persistent,
        at_peak=None,
        timeline=None,
        allocator=None,
        instrument="allocator",
        bp_peak_activation_bytes=of_bp,
        bp_peak_total_bytes=of_bp + sum(persistent_of_bp.values()),
    )


def _peak(step: TrainingStep, images: Tensor, labels: Tensor) -> tuple[int, dict[str, Any]]:
    """Return the peak of the third step, and persistent bytes; the first two compile and create optimizer state."""
    parameters = list(step.network.parameters())
    for _ in range(2):
        step(images, labels)
    for parameter in parameters:
        parameter.grad = None
    with no_child_processes(), profile(profile_memory=True) as profiler:  # a compiler was one, and has ended
        step(images, labels)
    gradients = {parameter.grad.untyped_storage().data_ptr() for parameter in parameters if parameter.grad is not None}
    peak = peak_without([event for event in allocations(profiler) if event is not None], gradients.__contains__)
    return peak, persistent_bytes(step, images, labels)


def peak_without(events: Sequence[tuple[int, int]], stays: Callable[[int], bool]) -> int:
    """Return the peak of allocated bytes without the last allocation at each address that ``stays``.

    Args:
        events: (address, bytes) in order; bytes are negative for a deallocation.
        stays: whether what was allocated last at an address is left out.
    """
    last = {address: index for index, (address, size) in enumerate(events) if size > 0 and stays(address)}
    left_out = set(last.values())
    held: dict[int, int] = {}
    live = peak = 0
    for index, (address, size) in enumerate(events):
        if size < 0:
            live -= held.pop(address, 0)  # an address that is not known was allocated before the step
        elif index not in left_out:
            held[address] = size
            live += size
            peak = max(peak, live)
    return peak
