"""Predictions with deterministic algorithms: what the CPU does then, not what a GPU would do."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import bench.train.step
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import Method
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.step import build_step

# Real allocations, and points counted in operators.
NOT_PREDICTED = {"allocator", "timeline"}


@pytest.fixture(params=[True, False], ids=["deterministic", "usual"])
def deterministic(request: pytest.FixtureRequest) -> Iterator[bool]:
    torch.use_deterministic_algorithms(request.param)
    yield request.param
    torch.use_deterministic_algorithms(False)


def predicted_and_measured(cell: Cell) -> tuple[dict[str, Any], dict[str, Any]]:
    shape, classes = shape_of(cell)
    images, labels = torch.rand(cell.batch_size, *shape), torch.randint(classes, (cell.batch_size,))
    memory = measure_memory(build_step(cell, shape, classes), images, labels, ask_allocator=False)
    planned = predict_memory(cell, shape, classes)
    return planned.model_dump(exclude=NOT_PREDICTED), memory.model_dump(exclude=NOT_PREDICTED)


@pytest.mark.long
@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("method", ["infopro", "infopro-contrast"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_decoders_that_resize_features_are_predicted_to_the_byte(method: str, precision: str) -> None:
    sizes = {"network": "pipeline-conv", "dataset": "random", "image_size": 12, "channels": 3, "batch_size": 6}
    cell = make_cell({"method": method, "modules": 3, "precision": precision, "passes": ["memory"], **sizes})
    planned, measured = predicted_and_measured(cell)
    assert planned == measured


def _trained(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """A rule whose features pass ``change``, ``[B, 4, 8, 8]`` to any shape, with a gradient."""

    def rule(network: Any, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
        features = network.trunk(images)
        maps = features.unsqueeze(-1).unsqueeze(-1).expand(-1, -1, 8, 8) * 1.5
        logits = network.local_modules[0](network.initial_belief(features), features)
        loss = F.cross_entropy(logits, labels) + change(maps).pow(2).mean()
        loss.backward()
        return loss.detach()

    return rule


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    **{mode: lambda maps, mode=mode: F.interpolate(maps, (11, 5), mode=mode) for mode in ("nearest", "area")},
    **{
        f"{mode} {aligned}": lambda maps, mode=mode, aligned=aligned: F.interpolate(
            maps, scale_factor=1.7, mode=mode, align_corners=aligned
        )
        for mode in ("bilinear", "bicubic")
        for aligned in (True, False)
    },
    "antialias": lambda maps: F.interpolate(maps, (5, 5), mode="bilinear", antialias=True),
    "linear": lambda maps: F.interpolate(maps.flatten(2), 100, mode="linear"),
    "trilinear": lambda maps: F.interpolate(maps.unsqueeze(1), (7, 9, 9), mode="trilinear"),
    "upsample": lambda maps: torch.nn.Upsample(scale_factor=2, mode="bilinear")(maps),
    "max pooling": lambda maps: F.max_pool2d(maps, 3, 2),
    "average pooling": lambda maps: F.adaptive_avg_pool2d(maps, 3),
    "replicated edges": lambda maps: F.pad(maps, (2, 1, 1, 2), mode="replicate"),
    "reflected edges": lambda maps: F.pad(maps, (2, 1, 1, 2), mode="reflect"),
    "sums": lambda maps: maps.cumsum(2),
    "grid": lambda maps: F.grid_sample(maps, torch.zeros(len(maps), 5, 5, 2)),
    "chosen": lambda maps: maps.index_select(1, torch.arange(3)) + maps[:, torch.arange(3)],
    "gathered": lambda maps: maps.gather(1, torch.zeros(len(maps), 2, 8, 8, dtype=torch.int64)),
    "scattered": lambda maps: maps.scatter_add(1, torch.zeros(len(maps), 2, 8, 8, dtype=torch.int64), maps[:, :2]),
    "attention": lambda maps: F.scaled_dot_product_attention(*[maps.flatten(3)] * 3),
}


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_operators_with_other_deterministic_kernels_elsewhere_are_predicted_to_the_byte(
    change: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Method(name="bp", summary="", rule=_trained(change))
    monkeypatch.setattr(bench.train.step, "load_method", lambda _: method)
    sizes = {"network": "cascade-linear", "dataset": "random", "image_size": 6, "channels": 1, "batch_size": 5}
    cell = make_cell(
        {"method": "bp", "depth": 1, "modules": 1, "width": 4, "hidden": 64, "passes": ["memory"], **sizes}
    )
    planned, measured = predicted_and_measured(cell)
    assert planned == measured


def test_a_rule_sees_tensors_of_the_cpu_and_the_settings_that_are_in_force(
    deterministic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[bool, bool]] = []

    def rule(network: Any, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
        seen.append((images.is_cpu, torch.are_deterministic_algorithms_enabled()))
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        return loss.detach()

    method = Method(name="bp", summary="", rule=rule)
    monkeypatch.setattr(bench.train.step, "load_method", lambda _: method)
    predict_memory(make_cell({"dataset": "random", "image_size": 6, "passes": ["memory"]}), (1, 6, 6), 10)
    assert set(seen) == {(True, deterministic)}
    assert not torch.empty(1, device="meta").is_cpu, "only while a plan runs"
