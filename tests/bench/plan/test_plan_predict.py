"""Predictions equal measurements to the byte, and need neither time nor memory in proportion to the cell."""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cells import run_method
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import bench.train.step
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.label import label
from bench.config.methods import Method
from bench.config.sweep import load_sweep
from bench.errors import BenchError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.step import build_step

METHODS = [
    "bp",
    "bp-checkpoint",
    "bp-checkpoint-trunk",
    "bp-bootstrap",
    "bp-elr",
    "bp-forward-estimated",
    "bp-forward-true",
    "bp-gce",
    "bp-label-smoothing",
    "bp-sce",
    "bp-microbatch",
    "bp-selective",
    "bp-step-in-backward",
    "deep-supervision",
    "sid-published",
    "sid-streamed",
    "sid-streamed-autograd",
    "sid-streamed-in-turn",
    "sid-streamed-recompute",
    "sid-vectorised",
]


# Real allocations, and points counted in operators, of which a constant may need one more or one fewer.
NOT_PREDICTED = {"allocator", "timeline"}


def measured(cell: Cell, round_to: int = 1) -> dict[str, Any]:
    shape, classes = shape_of(cell)
    images = torch.randn(cell.batch_size, *shape)
    labels = torch.randint(classes, (cell.batch_size,))
    memory = measure_memory(build_step(cell, shape, classes), images, labels, round_to, ask_allocator=False)
    return memory.model_dump(exclude=NOT_PREDICTED)


def predicted(cell: Cell, round_to: int = 1) -> dict[str, Any]:
    return predict_memory(cell, *shape_of(cell), round_to).model_dump(exclude=NOT_PREDICTED)


def tiny(method: str = "bp", **axes: Any) -> Cell:
    sizes = {"depth": 4, "modules": 2, "width": 9, "hidden": 7, "batch_size": 5, "image_size": 6}
    return make_cell({"method": method, "dataset": "random", "passes": ["memory"], **sizes, **axes})


@st.composite
def small_cells(draw: st.DrawFn) -> Cell:
    method = draw(st.sampled_from(METHODS))
    modules, layers = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    alphas = st.sampled_from([0.1, 0.5, 1.0])
    if method not in ("bp-bootstrap", "bp-label-smoothing"):
        alphas = st.one_of(alphas, st.lists(alphas, min_size=modules, max_size=modules).map(tuple))
    return tiny(
        method,
        network=draw(st.sampled_from(["cascade-linear", "cascade-conv"])),
        optimizer=draw(st.sampled_from(["adam", "sgd"])),
        depth=modules * layers,
        modules=modules,
        width=draw(st.integers(1, 20)),
        hidden=draw(st.integers(1, 40)),
        batch_size=draw(st.integers(1, 40)),
        classes=draw(st.integers(2, 12)),
        image_size=draw(st.integers(4, 13)),
        channels=draw(st.integers(1, 4)),
        alpha=draw(alphas),
        direction=draw(st.sampled_from(["forward", "reverse"])),
        loss_reduction=draw(st.sampled_from(["sum", "mean"])),
    )


@settings(max_examples=30, deadline=None)
@given(cell=small_cells(), round_to=st.sampled_from([1, 512]))
@pytest.mark.long
def test_every_cell_is_predicted_to_the_byte(cell: Cell, round_to: int) -> None:
    assert predicted(cell, round_to) == measured(cell, round_to)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", ["cascade-linear", pytest.param("cascade-conv", marks=pytest.mark.slow)])
@pytest.mark.long
def test_a_cell_in_bfloat16_is_predicted_to_the_byte(method: str, network: str) -> None:
    cell = tiny(method, network=network, precision="bfloat16", batch_size=9)
    found = predicted(cell)
    assert found == measured(cell)
    assert found != predicted(tiny(method, network=network, batch_size=9))


@pytest.mark.long
def test_small_cells_of_the_memory_suite_are_predicted_to_the_byte() -> None:
    cells = [cell for cell in load_sweep("memory", ["batch_size=32"]).cells if cell.depth <= 4]
    assert {cell.method for cell in cells} == {cell.method for cell in load_sweep("memory").cells}
    assert [label(cell) for cell in cells if predicted(cell) != measured(cell)] == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("network", ["cascade-linear", "cascade-conv"])
def test_the_whole_memory_suite_is_predicted_to_the_byte(network: str) -> None:
    cells = [cell for cell in load_sweep("memory").cells if cell.network == network]
    assert len(cells) >= 45
    assert [label(cell) for cell in cells if predicted(cell) != measured(cell)] == []


@pytest.mark.parametrize("method", METHODS)
def test_a_prediction_does_not_affect_a_later_measurement(method: str) -> None:
    before = measured(tiny(method))
    predicted(tiny(method))
    assert measured(tiny(method)) == before
    assert torch.zeros(2).tolist() == [0.0, 0.0]
    parameter = torch.zeros(1, device="meta").requires_grad_()
    parameter.grad = torch.zeros(1, device="meta")
    with pytest.raises(RuntimeError, match="fused"):  # tensors without contents are for predictions only
        torch.optim.Adam([parameter], fused=True).step()


def use_rule(patch: pytest.MonkeyPatch, rule: Callable[..., Tensor]) -> None:
    """Make the method ``bp`` use another rule, as a plug-in would."""
    method = Method(name="bp", summary="", rule=rule)
    patch.setattr(bench.train.step, "load_method", lambda _: method)


def local_label(network: Any, images: Tensor, labels: Tensor, _alpha: object) -> Tensor:
    features = network.trunk(images)
    belief = network.initial_belief(features)
    loss: Any = 0
    for module in network.local_modules:
        logits = module(belief.detach(), features)
        loss = loss + F.cross_entropy(logits, labels)
        belief = logits.softmax(dim=1)
    loss.backward()
    return loss.detach()  # type: ignore[no-any-return]


def many_operators(network: Any, images: Tensor, labels: Tensor, _alpha: object) -> Tensor:
    """Constants, random numbers, views, in-place operators, sorting, tensors made on the CPU by default."""
    scale = torch.tensor([0.5, 2.0]).sum()
    noise = torch.rand_like(images).mul_(0.1).clamp_(min=0.01)
    features = F.dropout(network.trunk(images + noise), 0.3)
    weights = torch.linspace(0, 1, len(labels)).flip(0).unsqueeze(1).expand(-1, network.classes)
    order = torch.randperm(len(labels))
    logits = network.local_modules[0](network.initial_belief(features), features)[order]
    best, places = logits.detach().topk(2, dim=1)
    mask = torch.where(places > 0, best, torch.zeros(())).cumsum(1).contiguous().view(-1)
    target = F.one_hot(labels, network.classes).to(images.dtype)
    loss = scale * (weights * (logits.log_softmax(1) - target) ** 2).mean() + mask.mean()
    loss.backward()
    return loss.detach()


def normalised(network: Any, images: Tensor, labels: Tensor, _alpha: object) -> Tensor:
    """Layer norms with weights, whose statistics have the weights' type also where features are narrower."""
    features = network.trunk(images)
    weight = torch.ones(features.shape[1], requires_grad=True)
    for _ in range(20):
        features = F.layer_norm(features, [features.shape[1]], weight)
    logits = network.local_modules[0](network.initial_belief(features), features)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return loss.detach()


def by_hand(network: Any, images: Tensor, labels: Tensor, _alpha: object) -> Tensor:
    """Compute gradients for some parameters only, one of them a part of a larger storage."""
    with torch.no_grad():
        loss = F.cross_entropy(network(images), labels)
        for parameter in list(network.parameters())[:3]:
            parameter.grad = torch.randn(2, *parameter.shape)[0]
    return loss


@pytest.mark.parametrize("rule", [local_label, many_operators, normalised, by_hand])
@pytest.mark.parametrize("axes", [{"optimizer": "adam"}, {"optimizer": "sgd"}, {"precision": "bfloat16"}])
def test_a_rule_of_another_package_is_predicted_to_the_byte(
    rule: Callable[..., Tensor], axes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_rule(monkeypatch, rule)
    cell = tiny(hidden=64, **axes)
    assert predicted(cell) == measured(cell)


def reads_a_number(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
    loss = run_method("bp", network, images, labels, alpha)
    return loss / float(loss)


def chooses_by_contents(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
    chosen = labels > 2
    return run_method("bp", network, images[chosen], labels[chosen], alpha)


def goes_through_numpy(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
    images = torch.from_numpy(images.numpy() + 1)
    return run_method("bp", network, images, labels, alpha)


@pytest.mark.parametrize("rule", [reads_a_number, chooses_by_contents, goes_through_numpy])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_rule_that_reads_tensor_values_is_refused(
    rule: Callable[..., Tensor], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_rule(monkeypatch, rule)
    with pytest.raises(BenchError, match="method 'bp' can be measured, but not planned: ") as caught:
        predicted(tiny(precision=precision))
    assert "\n" not in str(caught.value)


def test_a_compiled_cell_is_refused() -> None:
    with pytest.raises(BenchError, match="compile = True cannot be planned"):
        predicted(tiny(compile=True, passes=["latency"]))


def _mistaken(*_arguments: object) -> Tensor:
    raise ValueError("a mistake of its own")


def test_an_error_raised_by_the_rule_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    use_rule(monkeypatch, _mistaken)
    with pytest.raises(ValueError, match="a mistake of its own"):
        predicted(tiny())


HUGE = """
from pathlib import Path
from bench.config.check import make_cell
from bench.measure.memory.predict import predict_memory
cell = make_cell({"method": "METHOD", "depth": 256, "batch_size": 262144, "dataset": "random", "passes": ["memory"]})
memory = predict_memory(cell, (1, 28, 28), 10)
status = Path("/proc/self/status").read_text().splitlines()
print(memory.peak_total_bytes, next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["bp", pytest.param("sid-streamed", marks=pytest.mark.slow)])
def test_a_cell_of_a_hundred_gigabytes_is_planned_with_one_gigabyte(method: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HUGE.replace("METHOD", method)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    total, resident_kib = map(int, ended.stdout.split())
    assert total > (100 * 2**30 if method == "bp" else 2**29)
    assert resident_kib < 2**20


def test_the_time_of_a_prediction_does_not_grow_with_the_batch() -> None:
    def seconds(batch_size: int) -> float:
        cell = tiny("sid-published", depth=8, modules=8, batch_size=batch_size)
        predicted(cell)
        start = time.process_time()
        predicted(cell)
        return time.process_time() - start

    assert min(seconds(2**24) for _ in range(3)) < 3 * min(seconds(2) for _ in range(3))
