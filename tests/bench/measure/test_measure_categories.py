"""Bytes by category and by part of the network, compared with counts by hand."""

import pytest
import torch
from cells import methods_taking
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench.config.check import make_cell
from bench.config.methods import peer_names
from bench.measure.memory.categories import at_peak, phase_and_region_for, timeline
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.storages import StorageMeter
from bench.store.measurements.memory import CreatedBytes, Memory
from bench.train.step import build_step

KIB = 1024
CPU = torch.device("cpu")


class _Doubling(torch.nn.Module):
    """A trunk that saves its result for the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(256))
        self.weight.grad = torch.zeros(256)

    def forward(self, images: Tensor) -> Tensor:
        return (images + self.weight).exp()


def metered(work: object) -> StorageMeter:
    """Run ``work(trunk, images)`` under the meter, which distinguishes the trunk."""
    trunk, images = _Doubling(), torch.zeros(256)
    with StorageMeter(CPU) as meter, phase_and_region_for(meter, trunk):
        work(trunk, images)  # type: ignore[operator]
    return meter


def created(**parts: int) -> CreatedBytes:
    return CreatedBytes(**{name: parts.get(name, 0) for name in CreatedBytes.model_fields})


def test_storages_freed_before_a_backward_phase_are_temporary() -> None:
    meter = metered(lambda _trunk, images: images.exp() + 1)
    assert at_peak(meter.events) == created(temporary_modules=2 * KIB)


def test_tensors_saved_by_the_trunk_are_activations_and_its_gradients_temporary() -> None:
    # In the forward pass the trunk holds the sum and the exponential (2 KiB). In the backward pass there are the
    # exponential, the initial gradient (1 KiB, not of the trunk) and the gradient of the sum (1 KiB, of the trunk).
    def work(trunk: _Doubling, images: Tensor) -> None:
        features = trunk(images)
        features.backward(torch.ones_like(features))

    meter = metered(work)
    assert meter.peak == 3 * KIB
    assert at_peak(meter.events) == created(activation_trunk=KIB, activation_modules=KIB, temporary_trunk=KIB)


def test_recomputed_tensors_of_a_checkpoint_are_activations() -> None:
    def work(trunk: _Doubling, images: Tensor) -> None:
        result = checkpoint(lambda: trunk.weight.exp().exp(), use_reentrant=False, preserve_rng_state=False)
        del images
        result.backward(trunk.weight.detach())

    # The result and two recomputed exponentials; the gradient of the second.
    assert at_peak(metered(work).events) == created(activation_modules=3 * KIB, temporary_modules=KIB)


def test_storages_of_the_optimizer_step_are_temporary() -> None:
    trunk = _Doubling()
    optimizer = torch.optim.SGD(trunk.parameters(), lr=0.1, weight_decay=0.1, foreach=False, fused=False)
    with StorageMeter(CPU) as meter, phase_and_region_for(meter, trunk):
        meter.enter("optimizer")
        optimizer.step()
    assert at_peak(meter.events) == created(temporary_modules=KIB)


def test_without_events_all_categories_are_zero() -> None:
    assert at_peak([]) == created()
    empty = timeline([], 3)
    assert (empty.operators, empty.at, empty.phase) == (3, [], "")


def measure(method: str, depth: int = 4, network: str = "cascade-linear", batch_size: int = 16) -> Memory:
    cell = make_cell(
        {"method": method, "dataset": "random", "network": network, "depth": depth, "hidden": 32, "passes": ["memory"]}
        | {"batch_size": batch_size}
    )
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(cell.batch_size, 1, 8, 8, generator=generator)
    labels = torch.randint(10, (cell.batch_size,), generator=generator)
    return measure_memory(build_step(cell, (1, 8, 8), 10), images, labels, ask_allocator=False)


@pytest.mark.parametrize("network", ["cascade-linear", "cascade-conv"])
@pytest.mark.parametrize("method", methods_taking(make_cell({})))
def test_the_categories_sum_to_the_peak_and_the_timeline_contains_it(method: str, network: str) -> None:
    memory = measure(method, network=network)
    assert memory.at_peak is not None
    assert memory.timeline is not None
    assert sum(memory.at_peak.model_dump().values()) == memory.peak_activation_bytes
    course = memory.timeline
    columns = [getattr(course, name) for name in CreatedBytes.model_fields]
    totals = [sum(values) for values in zip(*columns, strict=True)]
    assert max(totals) == memory.peak_activation_bytes
    assert min(map(min, columns)) >= 0
    assert len(course.at) == len(course.phase) == len(totals) <= 101
    assert course.at == sorted(set(course.at))
    assert course.at[-1] <= course.operators
    assert set(course.phase) >= {"f", "b"}
    goes_back_and_forth = method.startswith("sid-streamed") or method in ("bp-microbatch", "sid-parallel")
    assert method in peer_names() or (course.phase.count("fb") > 2) == goes_back_and_forth


def test_recomputing_the_trunk_reduces_its_bytes_at_the_peak() -> None:
    peaks = {
        method: measure(method, network="cascade-conv", batch_size=128).peak_activation_bytes
        for method in ("bp-checkpoint", "sid-streamed", "sid-streamed-recompute")
    }
    assert peaks["sid-streamed-recompute"] < 0.85 * min(peaks["bp-checkpoint"], peaks["sid-streamed"])
    at_peak = measure("sid-streamed-recompute", network="cascade-conv", batch_size=128).at_peak
    assert at_peak is not None
    assert at_peak.activation_trunk + at_peak.temporary_trunk > 0.9 * peaks["sid-streamed-recompute"]


def test_the_convolutional_trunk_holds_most_bytes_and_the_linear_trunk_none() -> None:
    conv = measure("bp", network="cascade-conv").at_peak
    linear = measure("bp").at_peak
    assert conv is not None
    assert linear is not None
    assert conv.activation_trunk + conv.temporary_trunk > 20 * (conv.activation_modules + conv.temporary_modules)
    assert linear.activation_modules > 10 * (linear.activation_trunk + linear.temporary_trunk)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.integers(1, 500), st.lists(st.integers(1, 9), max_size=300))
def test_a_timeline_keeps_the_peak_of_every_interval(operators: int, sizes: list[int]) -> None:
    with StorageMeter(CPU) as meter:
        for index, size in enumerate(sizes):
            meter.operators = index * operators // len(sizes)
            meter.count_created(torch.UntypedStorage(size))
    course = timeline(meter.events, operators)
    assert max(course.temporary_modules, default=0) == max(sizes, default=0)
    assert len(course.at) <= 100
