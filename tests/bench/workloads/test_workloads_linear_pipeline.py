"""The pipeline of linear stages: as deep and as wide as a cell says."""

import pytest
import torch
from torch import nn

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.train.networks.build import build_network
from sid_core import Pipeline, published_step, streamed_step

SHAPE, CLASSES = (2, 3, 3), 4


def build(modules: int, **axes: int) -> Pipeline:
    values = {"network": "pipeline-linear", "dataset": "random", "depth": 6, "width": 5, "hidden": 7, **axes}
    network = build_network(make_cell(values | {"modules": modules, "passes": ["memory"]}), SHAPE, CLASSES)
    assert isinstance(network, Pipeline)
    return network


def layers(network: Pipeline) -> list[nn.Linear]:
    stages = [module.stage for module in network.local_modules]
    return [layer for stage in stages for layer in stage.modules() if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize("modules", [1, 2, 3, 6])
def test_depth_layers_of_width_features_are_cut_evenly(modules: int) -> None:
    network = build(modules)
    assert [(layer.in_features, layer.out_features) for layer in layers(network)] == [(18, 5), *[(5, 5)] * 5]
    per_stage = [len(module.stage) for module in network.local_modules]
    assert per_stage == [6 // modules] * modules
    assert network(torch.randn(3, *SHAPE)).shape == (3, CLASSES)
    assert {module.head.mlp[0].out_features for module in network.local_modules} == {7}


def test_the_stages_weights_are_the_same_for_every_cut() -> None:
    first, *others = (layers(build(modules)) for modules in (1, 2, 6))
    for other in others:
        for one, twin in zip(first, other, strict=True):
            assert torch.equal(one.weight, twin.weight)


def test_streamed_gives_the_gradients_of_published() -> None:
    images, labels = torch.randn(8, *SHAPE, dtype=torch.float64), torch.randint(CLASSES, (8,))
    one, other = (build(3).double() for _ in range(2))
    torch.testing.assert_close(streamed_step(one, images, labels, 0.3), published_step(other, images, labels, 0.3))
    for parameter, twin in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, twin.grad, rtol=1e-12, atol=1e-15)


def test_its_width_bears_on_the_cell_and_modules_divide_its_depth() -> None:
    values = {"network": "pipeline-linear", "dataset": "random", "depth": 6, "passes": ["memory"]}
    assert make_cell(values | {"width": 8}).id != make_cell(values | {"width": 9}).id
    with pytest.raises(ConfigError, match="modules = 4 does not divide depth = 6"):
        make_cell(values | {"modules": 4})
