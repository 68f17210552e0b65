"""A training step passes the cell's objective to the methods that have one, and to no other."""

from typing import Any

import pytest
import torch
from cells import rule_names
from torch import Tensor

import bench.train.step
from bench.config.check import changed, make_cell
from bench.config.methods import Method, is_of_sid, load_method, peer_names
from bench.measure.memory.measure import measure_memory
from bench.train.step import TrainingStep, build_step
from sid_core import Objective, published_step

WITH_OBJECTIVE = [
    name
    for name in rule_names()
    if is_of_sid(name) and load_method(name).rank_limits[0] == 1 and not load_method(name).compiles
]


def built(method: str, **axes: Any) -> tuple[TrainingStep, Tensor, Tensor]:
    sizes = {"depth": 4, "modules": 2, "width": 9, "hidden": 7, "batch_size": 5}
    cell = make_cell({"method": method, "dataset": "random", "passes": ["memory"], **sizes, **axes})
    torch.manual_seed(1)
    images, labels = torch.randn(5, 1, 4, 4), torch.randint(3, (5,))
    return build_step(cell, (1, 4, 4), 3), images, labels


@pytest.mark.parametrize(
    ("axes", "keywords"),
    [
        ({}, {}),
        ({"loss_reduction": "mean"}, {"reduction": "mean"}),
        ({"direction": "reverse"}, {"direction": "reverse", "smoothing": 0.1}),
        ({"direction": "reverse", "smoothing": 0.4}, {"direction": "reverse", "smoothing": 0.4}),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", WITH_OBJECTIVE)
def test_the_objective_of_the_cell_reaches_the_core(
    method: str, axes: dict[str, Any], keywords: dict[str, Any]
) -> None:
    step, images, labels = built(method, alpha="0.9..0.2", **axes)
    reference, *_ = built(method)
    expected = published_step(reference.network, images, labels, (0.9, 0.2), **keywords)
    for optimizer in reference.optimizers:
        optimizer.step()
    torch.testing.assert_close(step(images, labels), expected)
    for parameter, twin in zip(step.network.parameters(), reference.network.parameters(), strict=True):
        torch.testing.assert_close(parameter, twin)
        if parameter.grad is not None or not step.in_turn:
            torch.testing.assert_close(parameter.grad, twin.grad)


def test_every_method_of_sid_has_an_objective() -> None:
    of_sid = [name for name in rule_names() if name.startswith("sid-") and name not in peer_names()]
    assert all(load_method(name).objective for name in of_sid)
    on_one_rank = [name for name in of_sid if load_method(name).rank_limits[0] == 1]
    assert [name for name in on_one_rank if not load_method(name).compiles] == WITH_OBJECTIVE


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(
    "axes", [{}, {"network": "pipeline-conv", "depth": 5, "modules": 3}], ids=["cascade", "pipeline"]
)
def test_updating_module_by_module_gives_the_same_weights(optimizer: str, axes: dict[str, Any]) -> None:
    in_turn, images, labels = built("sid-streamed-in-turn", optimizer=optimizer, **axes)
    at_the_end, *_ = built("sid-streamed-autograd" if axes else "sid-streamed", optimizer=optimizer, **axes)
    assert len(in_turn.optimizers) == 1 + len(in_turn.network.local_modules)
    for gradients in ("free", "zero", "free"):
        loss = in_turn(images, labels, gradients=gradients)  # type: ignore[arg-type]
        assert torch.equal(loss, at_the_end(images, labels))
        assert all(parameter.grad is None for parameter in in_turn.network.local_modules.parameters())
        for parameter, twin in zip(in_turn.network.parameters(), at_the_end.network.parameters(), strict=True):
            assert torch.equal(parameter, twin)


def test_the_baseline_of_a_module_by_module_method_updates_the_whole_network() -> None:
    step, images, labels = built("sid-streamed-in-turn")
    reference, *_ = built("bp")
    baseline = step.baseline()
    assert baseline.network is step.network
    assert baseline.for_cell(changed(baseline.cell, method="bp-checkpoint")).optimizer is baseline.optimizer
    assert torch.equal(baseline(images, labels), reference(images, labels))
    for parameter, twin in zip(step.network.parameters(), reference.network.parameters(), strict=True):
        assert torch.equal(parameter, twin)
    back = baseline.for_cell(step.cell)
    assert len(back.in_turn) == 2
    back(images, labels)


def test_updating_module_by_module_holds_the_gradients_of_one_module() -> None:
    memories = {}
    for method in ("sid-streamed", "sid-streamed-in-turn"):
        step, images, labels = built(method, hidden=64)
        memories[method] = measure_memory(step, images, labels, ask_allocator=False)
    usual, in_turn = memories["sid-streamed"], memories["sid-streamed-in-turn"]
    of_a_module = sum(parameter.nbytes for parameter in step.network.local_modules[0].parameters())
    assert usual.gradient_bytes - in_turn.gradient_bytes == 2 * of_a_module
    assert in_turn.optimizer_bytes - usual.optimizer_bytes == 0
    assert 0 < in_turn.peak_activation_bytes - usual.peak_activation_bytes <= of_a_module
    assert in_turn.peak_total_bytes < usual.peak_total_bytes


def test_a_rule_without_settings_is_called_with_four_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    step, images, labels = built("sid-streamed", direction="reverse", loss_reduction="mean")
    seen: list[tuple[Any, ...]] = []

    def rule(*arguments: Any) -> Tensor:
        seen.append(arguments)
        return torch.zeros(())

    plug_in = Method(name="plug-in", summary="", rule=rule, uses_alpha=True)
    monkeypatch.setattr(bench.train.step, "load_method", lambda _: plug_in)
    assert step.cell is not None
    step.for_cell(step.cell)(images, labels)
    assert seen == [(step.network, images, labels, Objective(0.5, "reverse", 0.1, "mean"))]


def test_a_step_uses_its_own_objective_after_another_method_ran() -> None:
    step, images, labels = built("sid-streamed", direction="reverse")
    again, *_ = built("sid-streamed", direction="reverse")
    assert torch.equal(step.baseline().for_cell(step.cell)(images, labels), again(images, labels))
