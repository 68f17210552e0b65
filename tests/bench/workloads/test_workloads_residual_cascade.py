"""The cascade whose deep modules have shortcuts: the authors' where it may be, the same layers, and one that trains."""

import pytest
import torch
from torch import nn

from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.train.networks.build import build_network
from bench.train.networks.residual import ResidualLayer
from bench.train.step import build_step
from sid_core import Cascade, LocalModule, published_step, streamed_step

SHAPE, CLASSES = (1, 4, 4), 3


def build(network: str = "cascade-linear-residual", **axes: int) -> Cascade:
    values = {"network": network, "dataset": "random", "width": 6, "hidden": 7, "passes": ["memory"], **axes}
    built = build_network(make_cell(values), SHAPE, CLASSES)
    assert isinstance(built, Cascade)
    return built


def products(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(layer.weight.shape) for layer in network.modules() if isinstance(layer, nn.Linear)]


def test_modules_of_one_layer_are_the_authors_with_the_same_weights() -> None:
    ours, theirs = (build(name, depth=3, modules=3) for name in ("cascade-linear-residual", "cascade-linear"))
    assert all(type(module) is LocalModule for module in ours.local_modules)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(("depth", "modules"), [(2, 1), (6, 1), (6, 2), (6, 3)])
def test_modules_of_several_layers_have_the_linear_layers_of_the_plain_cascade(depth: int, modules: int) -> None:
    ours, plain = (build(name, depth=depth, modules=modules) for name in ("cascade-linear-residual", "cascade-linear"))
    assert products(ours) == products(plain)
    shortcuts = [part for part in ours.modules() if isinstance(part, ResidualLayer)]
    assert len(shortcuts) == depth - modules
    assert ours(torch.randn(5, *SHAPE)).shape == (5, CLASSES)


def test_a_layer_whose_product_is_nothing_changes_nothing() -> None:
    layer = ResidualLayer(7)
    for parameter in layer.branch[-1].parameters():
        nn.init.zeros_(parameter)
    features = torch.randn(5, 7)
    assert torch.equal(layer(features), features)


def test_streamed_gives_the_gradients_of_published() -> None:
    images, labels = torch.randn(8, *SHAPE, dtype=torch.float64), torch.randint(CLASSES, (8,))
    one, other = (build(depth=6, modules=2).double() for _ in range(2))
    torch.testing.assert_close(streamed_step(one, images, labels, 0.3), published_step(other, images, labels, 0.3))
    for parameter, twin in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-12, atol=1e-15)


def test_its_first_layers_get_gradients_at_depth_64_and_the_plain_networks_do_not() -> None:
    images, labels = torch.randn(16, *SHAPE), torch.randint(CLASSES, (16,))
    sizes = {}
    for name in ("cascade-linear-residual", "cascade-linear"):
        network = build(name, depth=64, modules=1)
        nn.functional.cross_entropy(network(images), labels).backward()
        (weight,) = [layer.weight for layer in network.trunk.modules() if isinstance(layer, nn.Linear)]
        assert weight.grad is not None
        sizes[name] = float(weight.grad.norm())
    assert sizes["cascade-linear-residual"] > 1e-3
    assert sizes["cascade-linear"] < 1e-6


@pytest.mark.parametrize("method", ["bp", "bp-checkpoint", "sid-streamed", "sid-published"])
def test_its_plan_is_its_measured_bytes(method: str) -> None:
    axes = {"network": "cascade-linear-residual", "dataset": "random", "depth": 6, "modules": 2, "batch_size": 4}
    cell = make_cell(axes | {"method": method, "image_size": 4, "passes": ["memory"]})
    shape, classes = (1, 4, 4), 10
    images, labels = torch.randn(4, *shape), torch.randint(classes, (4,))
    measured = measure_memory(build_step(cell, shape, classes), images, labels, ask_allocator=False)
    planned = predict_memory(cell, shape, classes)
    assert (planned.peak_activation_bytes, planned.peak_total_bytes) == (
        measured.peak_activation_bytes,
        measured.peak_total_bytes,
    )
