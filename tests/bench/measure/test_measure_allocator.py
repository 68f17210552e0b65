"""The allocator's count: the contract of the private profiler interface, and agreement with the exact instrument."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd.profiler import profile

from bench.config.check import make_cell
from bench.measure.memory.allocator import allocations, sum_up
from bench.measure.memory.measure import measure_memory
from bench.store.measurements.memory import Allocator
from bench.train.step import build_step

KIB = 1024


def test_the_profiler_reports_every_allocation_in_order() -> None:
    """Check addresses, sizes, signs and order, which are private to the profiler and may change."""
    with profile(profile_memory=True) as profiler:
        first = torch.empty(KIB, dtype=torch.uint8)
        second = torch.empty(3 * KIB, dtype=torch.uint8)
        addresses = first.data_ptr(), second.data_ptr()
        del first
        del second
    seen = [event for event in allocations(profiler) if event is not None]
    assert seen == [
        (addresses[0], KIB),
        (addresses[1], 3 * KIB),
        (addresses[0], -KIB),
        (addresses[1], -3 * KIB),
    ]


def test_bytes_freed_within_an_operator_are_a_workspace() -> None:
    assert sum_up([(1, 10), None, (2, 30), (2, -30), (3, 5), None, (1, -10), (3, -5)]) == (40, 15)


def test_freeing_earlier_allocations_is_not_subtracted() -> None:
    assert sum_up([(9, -100), (1, 10), None, (1, -10), None]) == (10, 10)


@settings(derandomize=True)
@given(st.lists(st.integers(1, 100)))
def test_without_workspaces_both_peaks_are_equal(sizes: list[int]) -> None:
    events = [event for address, size in enumerate(sizes) for event in ((address, size), None)]
    assert sum_up(events) == (sum(sizes), sum(sizes))


def ask(method: str, network: str, depth: int) -> Allocator:
    cell = make_cell(
        {"method": method, "dataset": "random", "network": network, "depth": depth, "batch_size": 32}
        | {"passes": ["memory"]}
    )
    images, labels = torch.randn(32, 1, 16, 16), torch.randint(10, (32,))
    allocator = measure_memory(build_step(cell, (1, 16, 16), 10), images, labels).allocator
    assert allocator is not None
    return allocator


@pytest.mark.parametrize("network", ["cascade-linear", "cascade-conv"])
@pytest.mark.parametrize("method", ["bp", "bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed"])
@pytest.mark.long
def test_both_instruments_agree_apart_from_workspaces(method: str, network: str) -> None:
    allocator = ask(method, network, 8)
    assert allocator.source == "cpu-profiler"
    assert abs(allocator.disagreement) <= 0.01
    assert allocator.peak_bytes == allocator.between_operators_bytes + allocator.workspace_bytes
    assert allocator.reserved_bytes is None
    assert allocator.device_bytes is None
