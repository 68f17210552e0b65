"""A training step hands the cell's objective to methods that have one, and to no other."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

import bench.measure.step
from bench.cell import make_cell
from bench.measure.step import TrainingStep, build_step
from bench.methods import load_method, method_names, rank_limits, takes_objective
from sid_core import published_step

WITH_OBJECTIVE = [name for name in method_names() if takes_objective(load_method(name)) and rank_limits(name)[0] == 1]


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
    torch.testing.assert_close(step(images, labels), expected)
    for parameter, twin in zip(step.network.parameters(), reference.network.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad)


def test_the_methods_of_sid_have_an_objective() -> None:
    assert WITH_OBJECTIVE == [
        "sid-parallel",
        "sid-published",
        "sid-streamed",
        "sid-streamed-autograd",
        "sid-vectorised",
    ]


def test_another_method_on_the_same_network_gets_four_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    step, images, labels = built("sid-streamed", direction="reverse", loss_reduction="mean")
    seen: list[tuple[Any, ...]] = []
    plug_in = ModuleType("plug_in")

    def accumulate_gradients(network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
        seen.append((network, images, labels, alpha))
        return torch.zeros(())

    plug_in.accumulate_gradients = accumulate_gradients  # type: ignore[attr-defined]
    monkeypatch.setattr(bench.measure.step, "load_method", lambda _: plug_in)
    step.with_method("plug-in")(images, labels)
    assert seen == [(step.network, images, labels, 0.5)]


def test_a_step_comes_back_to_its_objective_from_another_method() -> None:
    step, images, labels = built("sid-streamed", direction="reverse")
    again, *_ = built("sid-streamed", direction="reverse")
    assert torch.equal(step.with_method("bp").with_method("sid-streamed")(images, labels), again(images, labels))
