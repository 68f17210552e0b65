"""The controls for gains under label noise: their gradients against formulas written out by hand, and their plans."""

from collections.abc import Callable

import pytest
import torch
from cells import run_method
from control_cells import NETWORKS, batch, build, control
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.errors import ConfigError
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.plan.grid import shape_of
from bench.train.step import build_step
from sid_core import BeliefNetwork, cascade, linear_trunk, published_step, streamed_step

Loss = Callable[[Tensor, Tensor, float], Tensor]
alphas = st.floats(0.01, 1)


def smoothed(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """The cross-entropy of ``alpha * p_y + (1 - alpha) * p_0``, SID's target of a first module."""
    rows = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        logarithms = row - row.exp().sum().log()
        target = [alpha * (index == label) + (1 - alpha) / len(row) for index in range(len(row))]
        rows.append(-sum(mass * value for mass, value in zip(target, logarithms, strict=True)))
    return torch.stack(rows).mean()


def bootstrapped(logits: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Cross-entropy with weight ``alpha``, entropy of the prediction with weight ``1 - alpha``."""
    rows = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        probability = row.exp() / row.exp().sum()
        entropy = -sum(value * value.log() for value in probability)
        rows.append(-alpha * probability[label].log() + (1 - alpha) * entropy)
    return torch.stack(rows).mean()


def generalised(logits: Tensor, labels: Tensor, _alpha: float) -> Tensor:
    rows = [
        (1 - (row.exp()[label] / row.exp().sum()) ** 0.7) / 0.7
        for row, label in zip(logits, labels.tolist(), strict=True)
    ]
    return torch.stack(rows).mean()


FORMULAS: dict[str, Loss] = {"bp-label-smoothing": smoothed, "bp-bootstrap": bootstrapped, "bp-gce": generalised}


def assert_same_gradients(ours: BeliefNetwork, theirs: BeliefNetwork, tolerance: float = 1e-12) -> None:
    for (name, mine), twin in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if twin.grad is None:
            assert mine.grad is None, name
        else:
            torch.testing.assert_close(mine.grad, twin.grad, rtol=tolerance, atol=tolerance * 0.1)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(FORMULAS)), st.sampled_from(NETWORKS), alphas, st.integers(0, 2**31))
def test_a_control_computes_the_gradients_of_its_formula(method: str, network: str, alpha: float, seed: int) -> None:
    ours, theirs = build(network), build(network)
    images, labels = batch(seed)
    loss = run_method(method, ours, images, labels, alpha)
    expected = FORMULAS[method](theirs(images), labels, alpha)
    expected.backward()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-12, atol=1e-14)
    assert not loss.requires_grad
    assert_same_gradients(ours, theirs, 1e-10)


@pytest.mark.parametrize("method", ["bp-label-smoothing", "bp-bootstrap"])
@pytest.mark.parametrize("network", NETWORKS)
def test_at_alpha_one_a_control_with_alpha_is_bp(method: str, network: str) -> None:
    ours, theirs = build(network), build(network)
    run_method(method, ours, *batch(), 1.0)
    run_method("bp", theirs, *batch(), None)
    assert_same_gradients(ours, theirs)


def test_a_constant_prediction_would_only_scale_the_gradient_of_bp() -> None:
    """So gradients have to flow through the prediction of a bootstrapped target, as they do."""
    images, labels = batch()
    of_constant, of_bp, ours = build("cascade-linear"), build("cascade-linear"), build("cascade-linear")
    logits = of_constant(images)
    prediction = logits.softmax(1).detach()
    onehot = torch.nn.functional.one_hot(labels, 10)
    torch.nn.functional.cross_entropy(logits, 0.25 * onehot + 0.75 * prediction).backward()
    run_method("bp", of_bp, images, labels, None)
    run_method("bp-bootstrap", ours, images, labels, 0.25)
    for constant, plain, own in zip(of_constant.parameters(), of_bp.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(constant.grad, 0.25 * plain.grad, rtol=1e-10, atol=1e-14)  # type: ignore[operator]
        assert not torch.allclose(own.grad, 0.25 * plain.grad, rtol=1e-3, atol=0)  # type: ignore[arg-type, operator]


@pytest.mark.parametrize("method", ["bp-bootstrap", "bp-gce"])
def test_very_confident_logits_have_finite_gradients(method: str) -> None:
    network = cascade(1, 3, 1, 4, 5, trunk=linear_trunk(4, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1e4)
    images = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 3
    assert float(network(images).detach().softmax(1).min()) == 0, "probabilities underflow"
    loss = run_method(method, network, images, labels, 0.5)
    assert bool(loss.isfinite())
    assert all(bool(parameter.grad.isfinite().all()) for parameter in network.parameters())  # type: ignore[union-attr]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_loss_at_every_module_with_cuts_between_them_is_sid_at_alpha_one(network: str) -> None:
    """Deep supervision that is local, SID without consistency, needs no method of its own."""
    images, labels = batch()
    by_hand, published, streamed = build(network), build(network), build(network)
    features = by_hand.trunk(images)
    belief, losses = torch.full((6, 10), 0.1, dtype=torch.float64), []
    for module in by_hand.local_modules:
        logits, features = by_hand.run_module(module, belief.detach(), features)
        features = by_hand.hand_on(features)
        losses.append(torch.nn.functional.cross_entropy(logits, labels))
        belief = logits.softmax(1)
    total = torch.stack(losses).sum()
    total.backward()
    torch.testing.assert_close(published_step(published, images, labels, 1.0), total.detach(), rtol=1e-14, atol=0)
    torch.testing.assert_close(streamed_step(streamed, images, labels, 1.0), total.detach(), rtol=1e-12, atol=0)
    for parameter, twin in zip(by_hand.parameters(), published.parameters(), strict=True):
        assert torch.equal(parameter.grad, twin.grad)  # type: ignore[arg-type]
    assert_same_gradients(streamed, by_hand)


@pytest.mark.long
@pytest.mark.parametrize("method", ["bp-bootstrap", "bp-gce"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_control_is_planned_to_the_byte(method: str, network: str, precision: str) -> None:
    cell = control(method, network, precision=precision)
    measured = measure_memory(build_step(cell, *shape_of(cell)), torch.randn(6, 1, 8, 8), torch.arange(6))
    kept = {"allocator", "timeline"}
    assert measured.model_dump(exclude=kept) == predict_memory(cell, *shape_of(cell)).model_dump(exclude=kept)


def test_bootstrapped_targets_have_one_alpha() -> None:
    with pytest.raises(ConfigError, match=r"alpha = \[0.3, 0.5, 0.5\] for method 'bp-bootstrap'; legal: one number"):
        control("bp-bootstrap", alpha=(0.3, 0.5, 0.5))
    assert control("bp-gce", alpha=0.3).alpha is None
