"""Mono-Forward against a slow oracle in the paper's letters."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method, rule_of
from bench.errors import ConfigError
from bench.measure.inference import predict
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.train.networks.build import build_network
from bench.train.rules.peers.mono_forward import logits_by_module
from bench.train.step import build_step
from sid_core import BeliefNetwork

NETWORKS = ["pipeline-linear", "pipeline-conv", "pipeline-vit-tiny"]


def cell_of(network: str, **axes: Any) -> Cell:
    depth = {"depth": 3, "width": 7} if network == "pipeline-linear" else {}
    values = {"method": "mono-forward", "modules": 3, "batch_size": 5, "dataset": "random", "image_size": 8}
    return make_cell({"network": network, "passes": ["memory"], **values, **depth, **axes})


def built(network: str, seed: int) -> BeliefNetwork:
    cell = cell_of(network, seed=seed)
    return build_network(cell, *shape_of(cell)).double()


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(5, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (5,), generator=generator)


@settings(max_examples=15, deadline=None)
@given(network=st.sampled_from(NETWORKS), seed=st.integers(0, 2**31))
@pytest.mark.long
def test_each_layer_learns_from_its_own_projection_alone(network: str, seed: int) -> None:
    ours, theirs = built(network, seed), built(network, seed)
    images, labels = batch(seed)
    loss = rule_of(load_method("mono-forward"))(ours, images, labels, None)

    activations, losses = images, []
    labels_as_rows = torch.eye(10, dtype=torch.float64)[labels]
    for mine, layer in zip(ours.local_modules, theirs.local_modules, strict=True):
        output = layer.stage(activations)  # type: ignore[operator]
        neurons = output.reshape(5, -1)
        projection = layer.head.first.weight  # type: ignore[union-attr]
        assert projection.shape == (10, neurons.shape[1])
        goodness = torch.stack([torch.stack([(a * row).sum() for row in projection]) for a in neurons])
        shares = goodness.exp() / goodness.exp().sum(dim=1, keepdim=True)
        losses.append(-(labels_as_rows * shares.log()).sum() / 5)
        # By the chain rule: dL/dM = (p - y)^T a / B, dL/da = (p - y) M / B.
        error = (shares - labels_as_rows).detach() / 5
        found = mine.head.first.weight.grad  # type: ignore[union-attr]
        torch.testing.assert_close(found, error.T @ neurons.detach(), rtol=1e-9, atol=1e-13)
        output.backward((error @ projection.detach()).reshape(output.shape))
        for weight, twin in zip(mine.stage.parameters(), layer.stage.parameters(), strict=True):  # type: ignore[operator]
            torch.testing.assert_close(weight.grad, twin.grad, rtol=1e-8, atol=1e-12)
        belief = mine.head.belief.weight.grad  # type: ignore[union-attr]
        assert not belief.any(), "no belief takes part"
        activations = output.detach()
    torch.testing.assert_close(loss, torch.stack(losses).sum().detach(), rtol=1e-10, atol=0)


@settings(max_examples=10, deadline=None)
@given(network=st.sampled_from(NETWORKS), seed=st.integers(0, 2**31))
def test_a_prediction_adds_the_goodness_of_all_layers(network: str, seed: int) -> None:
    model = built(network, seed)
    images, _ = batch(seed)
    activations, expected = images, torch.zeros(5, 10, dtype=torch.float64)
    found = list(logits_by_module(model, images))
    assert len(found) == 3
    for layer, logits in zip(model.local_modules, found, strict=True):
        activations = layer.stage(activations)  # type: ignore[operator]
        expected = expected + activations.flatten(1) @ layer.head.first.weight.T  # type: ignore[union-attr]
        torch.testing.assert_close(logits, expected, rtol=1e-10, atol=1e-12)


def test_the_inference_pass_predicts_so() -> None:
    step = build_step(cell := cell_of("pipeline-conv", passes=["inference"]), *shape_of(cell))
    step.network.eval()
    images = torch.randn(4, 1, 8, 8)
    *_, last = logits_by_module(step.network, images)
    torch.testing.assert_close(predict(step, images), last.detach(), rtol=0, atol=0)


def test_it_has_projections_unless_the_cell_says_and_no_cascade() -> None:
    assert cell_of("pipeline-conv").head == "projection"
    assert cell_of("pipeline-conv", head="conv").head == "conv"
    with pytest.raises(ConfigError, match="network = 'cascade-conv' for method 'mono-forward', a cascade; legal: pip"):
        cell_of("cascade-conv", depth=3, head="linear")


@pytest.mark.parametrize("depth", [4, 16])
def test_the_activations_of_one_stage_are_held_at_a_time(depth: int) -> None:
    def peak(method: str, layers: int) -> int:
        sizes = {"depth": layers, "modules": layers, "width": 64, "batch_size": 128, "head": "projection"}
        cell = cell_of("pipeline-linear", method=method, **sizes)
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        images, labels = torch.randn(128, *shape), torch.randint(classes, (128,))
        return measure_memory(step, images, labels, ask_allocator=False).peak_activation_bytes

    # One more tensor [128, 64] would not fit between the two.
    assert peak("mono-forward", depth) < peak("mono-forward", 3) + 128 * 64 * 4
    assert depth == 4 or peak("mono-forward", depth) < peak("bp", depth) / 2
