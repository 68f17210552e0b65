"""SID whose beliefs are targets only, against a slow oracle in the paper's letters."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cells import run_method
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.config.check import make_cell
from bench.config.methods import is_of_sid
from bench.measure.inference import predict
from bench.plan.grid import shape_of
from bench.train.networks.build import build_network
from bench.train.step import build_step
from sid_core import BeliefNetwork, Objective, streamed_step

NETWORKS = ["cascade-linear", "cascade-conv", "pipeline-conv", "pipeline-linear"]
HEADS = ["linear", "mlp", "mlp-sr", "aug"]


def build(network: str, head: str = "linear") -> BeliefNetwork:
    sizes = {"modules": 3, "batch_size": 6, "dataset": "random", "image_size": 8, "passes": ["memory"]}
    depth = {} if network == "pipeline-conv" else {"depth": 3}
    cell = make_cell({"network": network, "head": head, "hidden": 9, "width": 7, **sizes, **depth})
    return build_network(cell, *shape_of(cell)).double()


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (6,), generator=generator)


def divergence(target: Tensor, belief: Tensor) -> Tensor:
    """KL(target || belief), a mean over the batch; 0 log 0 is 0."""
    return (torch.special.xlogy(target, target) - target * belief.log()).sum() / len(target)


def oracle(network: BeliefNetwork, images: Tensor, labels: Tensor, alpha: float, direction: str) -> Tensor:
    """``sum_i alpha KL(p_y || p_i) + (1 - alpha) KL(sg p_{i-1} || p_i)`` with ``p_i = softmax(f_i(p_0, h_i))``."""
    uniform = torch.full((len(images), 10), 0.1, dtype=torch.float64)
    label = F.one_hot(labels, 10).double()
    smoothed = 0.9 * label + 0.01
    features, before, total = network.trunk(images), uniform, images.new_zeros(())
    for module in network.local_modules:
        logits, features = network.run_module(module, uniform, features)
        features = network.hand_on(features)
        belief = logits.softmax(1)
        if direction == "forward":
            total = total + alpha * divergence(label, belief) + (1 - alpha) * divergence(before, belief)
        else:
            total = total + alpha * divergence(belief, smoothed) + (1 - alpha) * divergence(belief, before)
        before = belief.detach()
    total.backward()
    return total.detach()


def assert_same_gradients(ours: BeliefNetwork, theirs: BeliefNetwork) -> None:
    for (name, mine), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None, name
        assert twin.grad is not None, name
        torch.testing.assert_close(mine.grad, twin.grad, rtol=1e-9, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(
    network=st.sampled_from(NETWORKS),
    head=st.sampled_from(HEADS),
    alpha=st.floats(0.01, 1),
    direction=st.sampled_from(["forward", "reverse"]),
    closed_form=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_gradients_are_those_of_the_formula(
    network: str, head: str, alpha: float, direction: Any, closed_form: bool, seed: int
) -> None:
    head = head if network.startswith("pipeline") else "linear"
    ours, theirs = build(network, head), build(network, head)
    images, labels = batch(seed)
    objective = Objective(alpha, direction)
    loss = streamed_step(ours, images, labels, objective, target_only=True, closed_form=closed_form)
    torch.testing.assert_close(loss, oracle(theirs, images, labels, alpha, direction), rtol=1e-10, atol=1e-12)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("head", HEADS)
def test_at_alpha_one_it_is_decoupled_greedy_learning(head: str) -> None:
    ours, theirs = build("pipeline-conv", head), build("pipeline-conv", head)
    first = run_method("sid-target", ours, *batch(), 1.0)
    second = run_method("dgl", theirs, *batch())
    torch.testing.assert_close(first, second, rtol=1e-12, atol=0)
    assert_same_gradients(ours, theirs)


@pytest.mark.parametrize("network", NETWORKS)
def test_beliefs_that_are_inputs_give_other_gradients(network: str) -> None:
    ours, theirs = build(network), build(network)
    run_method("sid-target", ours, *batch())
    run_method("sid-streamed", theirs, *batch())
    last, twin = list(ours.local_modules[-1].parameters())[-1], list(theirs.local_modules[-1].parameters())[-1]
    assert last.grad is not None
    assert twin.grad is not None
    assert not torch.allclose(last.grad, twin.grad, rtol=1e-6)


@pytest.mark.parametrize("network", ["cascade-linear", "pipeline-conv"])
def test_a_prediction_is_that_of_the_last_module_without_a_belief(network: str) -> None:
    depth = {} if network == "pipeline-conv" else {"depth": 3}
    cell = make_cell(
        {"method": "sid-target", "network": network, "modules": 3, "dataset": "random", "image_size": 8, **depth}
        | {"passes": ["inference"]}
    )
    step = build_step(cell, *shape_of(cell))
    step.network.eval()
    images = torch.randn(4, 1, 8, 8)
    *_, last = step.logits_by_module(step.network, images)
    assert last is not None
    torch.testing.assert_close(predict(step, images), last.detach(), rtol=0, atol=0)
    assert not torch.allclose(predict(step, images), step.network(images).detach())


def test_it_is_not_counted_as_sid() -> None:
    assert is_of_sid("sid-streamed")
    assert not is_of_sid("sid-target")
