"""The second memory instrument: bytes counted by the allocator, which include workspaces inside operators."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.profiler import profile

from bench.analysis.measured import CUDA_ROUNDS_TO
from bench.machine.nvml import process_bytes
from bench.measure.memory.marks import MARK, AtOperators, marked
from bench.measure.memory.storages import StorageMeter
from bench.measure.memory.threads import lend_modes
from bench.store.measurements.memory import Allocator
from bench.train.step import Step


def measure_allocator(
    step: Step, images: Tensor, labels: Tensor, exact_bytes: int, threads: int = 1
) -> Allocator | None:
    """Run one step with gradients zeroed in place, and count the bytes that the allocator hands out and takes back.

    Args:
        step: the training step, which has run before; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64, on the step's device.
        exact_bytes: the peak by the exact instrument. On CUDA it is measured again, in the allocator's units.
        threads: the number of threads that run the step's operators.

    Returns:
        The allocator's count. On the CPU, None for more than one thread: the profiler sees the allocations of one.
    """
    if images.device.type == "cuda":
        return _measure_cuda(step, images, labels)
    if threads > 1:
        return None
    # This profiler, because importing torch.profiler, which wraps it, takes 1.5 s.
    with profile(profile_memory=True) as profiler, AtOperators(marked):
        step(images, labels, gradients="zero")
    peak, between_operators = sum_up(allocations(profiler))
    return Allocator(
        source="cpu-profiler",
        peak_bytes=peak,
        between_operators_bytes=between_operators,
        workspace_bytes=peak - between_operators,
        disagreement=between_operators / exact_bytes - 1,
        reserved_bytes=None,
        device_bytes=None,
    )


def allocations(profiler: profile) -> Iterator[tuple[int, int] | None]:
    """Yield the CPU allocations that the profiler recorded, in order.

    An item is (address, bytes), where bytes are negative for a deallocation; None marks the end of a marked operator.
    This is the only function that uses private interfaces of the profiler.
    """
    yield from _walk(cast(Any, profiler.kineto_results).experimental_event_tree())


def _walk(events: Iterable[Any]) -> Iterator[tuple[int, int] | None]:
    for event in sorted(events, key=lambda event: event.start_time_ns):
        kind, fields = event.typed
        if kind.name == "Allocation" and fields.device.type == "cpu":
            yield fields.ptr, fields.alloc_size
        yield from _walk(event.children)
        if event.name == MARK:
            yield None


def sum_up(allocated: Iterable[tuple[int, int] | None]) -> tuple[int, int]:
    """Return the peak of allocated bytes at any moment, and the peak at ends of operators; see :func:`allocations`."""
    held: dict[int, int] = {}
    live = peak = between_operators = 0
    for event in allocated:
        if event is None:
            between_operators = max(between_operators, live)
            continue
        address, size = event
        if size > 0:
            held[address] = size
            live += size
            peak = max(peak, live)
        else:
            live -= held.pop(address, 0)  # an address that is not known was allocated before the step
    return peak, between_operators


def _measure_cuda(step: Step, images: Tensor, labels: Tensor) -> Allocator:
    device = images.device
    between_operators = 0

    def watched(operator: Callable[[], Any]) -> Any:
        nonlocal between_operators
        output = operator()
        between_operators = max(between_operators, torch.cuda.memory_allocated(device))
        return output

    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with StorageMeter(device, CUDA_ROUNDS_TO) as meter, AtOperators(watched), lend_modes():
        step(images, labels, gradients="zero")
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    between_operators -= before
    return Allocator(
        source="cuda-caching-allocator",
        peak_bytes=peak,
        between_operators_bytes=between_operators,
        workspace_bytes=peak - between_operators,
        disagreement=between_operators / meter.peak - 1,
        reserved_bytes=torch.cuda.max_memory_reserved(device),
        device_bytes=process_bytes(uuid, torch.cuda.memory_reserved(device)),
    )
