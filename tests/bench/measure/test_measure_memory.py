"""The memory pass: known peaks, persistent bytes, and reproducibility."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.store.measurements.memory import Memory
from bench.train.step import TrainingStep, build_step

MIB = 2**20
PIXELS, CLASSES = 784, 10
METHODS = ["bp", "bp-checkpoint", "sid-published", "sid-streamed", "sid-streamed-autograd"]


def make(method: str, depth: int, batch_size: int = 64, **axes: Any) -> Cell:
    """Return a cell on the linear trunk 784 -> 128, with hidden size 256 and one hidden layer per module."""
    axes = {"dataset": "random", "passes": ["memory"], "depth": depth, "batch_size": batch_size, **axes}
    return make_cell({"method": method, **axes})


def step_and_batch(cell: Cell) -> tuple[TrainingStep, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(cell.batch_size, 1, 28, 28, generator=generator)
    labels = torch.randint(CLASSES, (cell.batch_size,), generator=generator)
    return build_step(cell, (1, 28, 28), CLASSES), images, labels


def measure(cell: Cell) -> Memory:
    return measure_memory(*step_and_batch(cell), ask_allocator=False)


def activation_mib(method: str, depth: int) -> float:
    return measure(make(method, depth, batch_size=512)).peak_activation_bytes / MIB


@pytest.mark.parametrize(
    ("method", "depth", "mib"),
    [
        ("bp", 4, 4.14),
        ("bp", 16, 13.61),
        pytest.param("bp", 64, 51.48, marks=pytest.mark.slow),
        ("sid-published", 4, 4.48),
        ("sid-published", 16, 14.19),
        pytest.param("sid-published", 64, 53.00, marks=pytest.mark.slow),
        ("bp-checkpoint", 4, 2.35),
        ("bp-checkpoint", 16, 2.58),
        ("bp-checkpoint", 64, 3.52),
    ],
)
@pytest.mark.long
def test_peak_activations_have_the_expected_size(method: str, depth: int, mib: float) -> None:
    assert activation_mib(method, depth) == pytest.approx(mib, abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("method", ["sid-streamed", "sid-streamed-autograd"])
def test_streamed_memory_is_constant_in_depth_and_below_checkpointing_at_64(method: str) -> None:
    at_4, at_16, at_64 = (activation_mib(method, depth) for depth in (4, 16, 64))
    assert at_16 == pytest.approx(at_4, rel=0.01)
    assert at_64 == pytest.approx(at_4, rel=0.01)
    assert at_64 < 3.52  # bp-checkpoint, see above


def test_the_closed_form_needs_less_memory_than_autograd() -> None:
    cells = [make(method, 4, batch_size=512) for method in ("sid-streamed", "sid-streamed-autograd")]
    closed_form, autograd = (measure(cell).peak_activation_bytes for cell in cells)
    assert closed_form < autograd


@pytest.mark.parametrize("method", METHODS)
def test_repeated_runs_give_identical_numbers(method: str) -> None:
    step, images, labels = step_and_batch(make(method, 3))
    memory = measure_memory(step, images, labels)
    assert measure_memory(step, images, labels) == memory  # the same step again
    assert measure_memory(*step_and_batch(make(method, 3))) == memory  # a new step


def test_garbage_is_not_collected_during_a_step() -> None:
    step, images, labels = step_and_batch(make("bp", 2))

    def leave_cycles(*arguments: Any) -> Tensor:
        for _ in range(2000):  # more than the collector's default threshold of 700 objects
            cycle: list[Any] = [torch.empty(256)]
            cycle.append(cycle)
        return step.rule(*arguments)

    plain = measure_memory(step, images, labels)
    littering = measure_memory(TrainingStep(step.network, step.optimizer, leave_cycles, None), images, labels)
    assert littering.peak_activation_bytes == plain.peak_activation_bytes + 2000 * 1024


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("optimizer", "states"), [("adam", 2), ("sgd", 1)])
def test_persistent_bytes_equal_a_count_by_hand(method: str, optimizer: str, states: int) -> None:
    depth, width, hidden, batch_size = 3, 20, 30, 16
    axes = {"width": width, "hidden": hidden, "optimizer": optimizer}
    memory = measure(make(method, depth, batch_size, **axes))
    trunk = PIXELS * width + width
    module = (width + CLASSES) * hidden + hidden + hidden * CLASSES + CLASSES
    parameters = 4 * (trunk + depth * module)
    tensors = 2 + 4 * depth
    assert memory.parameter_bytes == parameters
    assert memory.gradient_bytes == parameters
    # Adam: two moments and a count of steps (float32) for each parameter tensor; SGD: the momentum.
    assert memory.optimizer_bytes == states * parameters + (4 * tensors if optimizer == "adam" else 0)
    assert memory.input_bytes == batch_size * (4 * PIXELS + 8)
    assert memory.buffer_bytes == 0


@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_the_total_is_the_sum_of_activations_and_persistent_bytes(method: str) -> None:
    memory = measure(make(method, 3))
    persistent = memory.parameter_bytes + memory.buffer_bytes + memory.gradient_bytes + memory.optimizer_bytes
    assert memory.peak_total_bytes == memory.peak_activation_bytes + persistent + memory.input_bytes


def test_buffers_are_counted() -> None:
    step, images, labels = step_and_batch(make("bp", 2))
    step.network.register_buffer("mean", torch.zeros(100))
    assert measure_memory(step, images, labels).buffer_bytes == 400


def test_a_frozen_parameter_has_no_gradient_and_no_optimizer_state() -> None:
    whole = measure(make("sid-streamed", 2))
    step, images, labels = step_and_batch(make("sid-streamed", 2))
    bias = step.network.local_modules[0].mlp[0].bias.requires_grad_(False)
    memory = measure_memory(step, images, labels)
    assert memory.parameter_bytes == whole.parameter_bytes
    assert memory.gradient_bytes == whole.gradient_bytes - bias.nbytes
    assert memory.optimizer_bytes == whole.optimizer_bytes - 2 * bias.nbytes - 4


def test_the_garbage_collector_is_enabled_after_a_measurement() -> None:
    measure(make("bp", 2))
    assert gc.isenabled()


def test_the_garbage_collector_is_enabled_after_a_failed_step() -> None:
    step, images, labels = step_and_batch(make("bp", 2))
    calls: list[int] = []

    def fail_at_second(*arguments: Any) -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("out of memory")
        return step.rule(*arguments)

    failing = TrainingStep(step.network, step.optimizer, fail_at_second, None)
    with pytest.raises(RuntimeError, match="out of memory"):
        measure_memory(failing, images, labels)
    assert gc.isenabled()
