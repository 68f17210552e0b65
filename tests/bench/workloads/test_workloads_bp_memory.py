"""BP with selective checkpointing, and BP that updates each parameter in the backward pass."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.config.check import changed, make_cell
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.store.measurements.memory import Memory
from bench.train.step import TrainingStep, build_step
from sid_core import Pipeline, recomputed

NOT_PREDICTED = {"allocator", "timeline"}
NETWORKS: list[dict[str, Any]] = [
    {"network": "cascade-linear"},
    {"network": "cascade-linear", "modules": 2},
    {"network": "cascade-conv"},
    {"network": "pipeline-conv", "modules": 3},
    {"network": "pipeline-linear"},
]
each_network = pytest.mark.parametrize("axes", NETWORKS, ids=str)


def built(method: str, **axes: Any) -> tuple[TrainingStep, Tensor, Tensor]:
    sizes = {"depth": 4, "width": 32, "hidden": 24, "batch_size": 6, "image_size": 8, "classes": 5}
    cell = make_cell({"method": method, "dataset": "random", "passes": ["memory"], **sizes, **axes})
    generator = torch.Generator().manual_seed(1)
    shape, classes = shape_of(cell)
    images = torch.randn(cell.batch_size, *shape, generator=generator)
    labels = torch.randint(classes, (cell.batch_size,), generator=generator)
    return build_step(cell, shape, classes), images, labels


def bytes_of(method: str, **axes: Any) -> Memory:
    """The measured bytes, which are those planned."""
    step, images, labels = built(method, **axes)
    memory = measure_memory(step, images, labels, ask_allocator=False)
    assert step.cell is not None
    planned = predict_memory(step.cell, *shape_of(step.cell))
    assert memory.model_dump(exclude=NOT_PREDICTED) == planned.model_dump(exclude=NOT_PREDICTED)
    return memory


@each_network
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_an_update_in_the_backward_pass_gives_the_weights_of_bp(axes: dict[str, Any], optimizer: str) -> None:
    step, images, labels = built("bp-step-in-backward", optimizer=optimizer, **axes)
    expected, *_ = built("bp", optimizer=optimizer, **axes)
    for gradients in ("free", "zero", "free"):
        assert torch.equal(step(images, labels, gradients), expected(images, labels))  # type: ignore[arg-type]
        assert all(parameter.grad is None for parameter in step.network.parameters())
        for parameter, twin in zip(step.network.parameters(), expected.network.parameters(), strict=True):
            assert torch.equal(parameter, twin)


def test_one_gradient_is_held_at_a_time_and_no_hook_stays() -> None:
    step, images, labels = built("bp-step-in-backward")
    held: list[int] = []

    def count(*_: object) -> None:
        held.append(sum(parameter.grad is not None for parameter in step.network.parameters()))

    for optimizer in step.in_turn:
        optimizer.register_step_pre_hook(count)
    step(images, labels)
    assert held == [1] * len(list(step.network.parameters()))
    assert not any(parameter._post_accumulate_grad_hooks for parameter in step.network.parameters())


def test_gradients_that_another_method_has_left_are_not_used() -> None:
    step, images, labels = built("bp-step-in-backward")
    expected, *_ = built("bp-step-in-backward")
    step.network(images).sum().backward()
    step(images, labels)
    expected(images, labels)
    for parameter, twin in zip(step.network.parameters(), expected.network.parameters(), strict=True):
        assert torch.equal(parameter, twin)


@pytest.mark.long
@each_network
def test_an_update_in_the_backward_pass_needs_fewer_bytes_in_all(axes: dict[str, Any]) -> None:
    own, of_bp = bytes_of("bp-step-in-backward", **axes), bytes_of("bp", **axes)
    assert (own.gradient_bytes, own.optimizer_bytes) == (0, of_bp.optimizer_bytes)
    assert own.peak_total_bytes < of_bp.peak_total_bytes


def test_a_step_beside_bp_on_one_network_has_optimizers_of_its_own() -> None:
    step, images, labels = built("bp-step-in-backward")
    baseline = step.baseline()
    assert step.cell is not None
    assert (len(baseline.in_turn), len(baseline.optimizers)) == (0, 1)
    in_turn = baseline.for_cell(changed(step.cell, method="sid-streamed-in-turn", alpha=0.5))
    assert len(in_turn.in_turn) == len(step.network.local_modules)
    again = in_turn.for_cell(step.cell)
    assert len(again.in_turn) == len(list(step.network.parameters()))
    for one in (baseline, in_turn, again, baseline):
        assert torch.isfinite(one(images, labels))


@each_network
def test_selective_checkpointing_gives_the_gradients_of_bp(axes: dict[str, Any]) -> None:
    step, images, labels = built("bp-selective", **axes)
    expected, *_ = built("bp", **axes)
    assert torch.equal(step(images, labels), expected(images, labels))
    for parameter, twin in zip(step.network.parameters(), expected.network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.long
def test_selective_checkpointing_needs_bytes_between_bp_and_checkpoints(precision: str) -> None:
    methods = ("bp-checkpoint", "bp-selective", "bp")
    sizes = {"depth": 12, "modules": 12, "width": 64, "hidden": 96, "batch_size": 32}
    peaks = [bytes_of(method, precision=precision, **sizes).peak_activation_bytes for method in methods]
    assert peaks[0] < peaks[1] < peaks[2]


@pytest.mark.parametrize("axes", NETWORKS[2:], ids=str)
@pytest.mark.long
def test_selective_checkpointing_is_planned_to_the_byte(axes: dict[str, Any]) -> None:
    held, again = (bytes_of(method, **axes).peak_activation_bytes for method in ("bp-selective", "bp-checkpoint"))
    assert held >= again


LAYERS = {
    "conv": lambda: nn.Conv2d(4, 4, 3, padding=1),
    "norm": lambda: nn.BatchNorm2d(4),
    "relu in place": lambda: nn.ReLU(inplace=True),
    "relu6 in place": lambda: nn.ReLU6(inplace=True),
    "silu": nn.SiLU,
    "dropout": lambda: nn.Dropout(0.3),
}

IN_PLACE = {"relu in place", "relu6 in place"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from(list(LAYERS)), min_size=1, max_size=5), min_size=1, max_size=3))
def test_stages_of_any_layers_have_the_gradients_and_buffers_of_bp(stages: list[list[str]]) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(1, 4, 3, padding=1)
    blocks = [nn.Sequential(nn.Conv2d(4, 4, 1), *(LAYERS[name]() for name in stage)) for stage in stages]
    network = Pipeline.with_heads([nn.Sequential(first, *blocks)], [4], 3, 5).double()
    images, labels = torch.randn(6, 1, 5, 5).double(), torch.arange(6) % 3
    expected = copy.deepcopy(network)
    assume(not any({one, other} <= IN_PLACE for stage in stages for one, other in pairwise(stage)))  # BP refuses them
    for one in (recomputed(network, modules=True, hold_products=True), expected):
        torch.manual_seed(3)
        F.cross_entropy(one(images), labels).backward()
    for parameter, twin in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-12, atol=1e-14)
    for buffer, twin in zip(network.buffers(), expected.buffers(), strict=True):
        assert torch.equal(buffer, twin)


def test_a_product_that_is_written_into_by_another_function_is_refused() -> None:
    stage = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.SiLU(inplace=True)))
    network = recomputed(Pipeline.with_heads([stage], [4], 3), modules=True, hold_products=True)
    with pytest.raises(ValueError, match=r"in a Sequential, aten::silu_ writes into the output of a product .*; legal"):
        network(torch.randn(2, 1, 5, 5))
