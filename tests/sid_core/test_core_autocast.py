"""Steps under autocast to bfloat16: beliefs and logit gradients are float32, gradients agree with published."""

import copy
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core import BeliefNetwork, Pipeline, cascade, published_step, streamed_step, uniform_belief, vectorised_step
from sid_core.steps.chain import BeliefChain, ReverseBeliefChain

CLASSES = 7
# bfloat16 rounds a number by up to 0.4 %, and a step rounds a few times.
TOLERANCE = 0.03

STEPS = {
    "streamed": streamed_step,
    "streamed through autograd": partial(streamed_step, closed_form=False),
    "vectorised": vectorised_step,
    "vectorised, two at a time": partial(vectorised_step, chunk=2),
}


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


def build_cascade() -> BeliefNetwork:
    torch.manual_seed(0)
    return cascade(3, CLASSES, 2, feature_dim=16, hidden=24, depth=6)


def build_pipeline() -> BeliefNetwork:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    second = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    return Pipeline.with_heads([first, second], widths=[8, 12], classes=CLASSES, hidden=16)


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 2, 8, 8, generator=generator), torch.randint(CLASSES, (32,), generator=generator)


def gradients(network: BeliefNetwork) -> list[Tensor]:
    found = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in found)
    return [gradient for gradient in found if gradient is not None]


def assert_close(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert float((one - other).norm()) <= TOLERANCE * float(other.norm())


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_a_step_agrees_with_published_under_the_same_autocast(step: Any, direction: str) -> None:
    expected, network = build_cascade(), build_cascade()
    exact = copy.deepcopy(expected).double()
    images, labels = batch()
    with autocast():
        expected_loss = published_step(expected, images, labels, 0.4, direction=direction)  # type: ignore[arg-type]
        loss = step(network, images, labels, 0.4, direction=direction)
    published_step(exact, images.double(), labels, 0.4, direction=direction)  # type: ignore[arg-type]
    assert loss.dtype == expected_loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-3)
    assert_close(gradients(network), gradients(expected))
    assert any(
        float((one - other.grad).norm()) > 1e-4 * float(other.grad.norm())  # autocast was in force
        for one, other in zip(gradients(network), exact.parameters(), strict=True)
        if other.grad is not None
    )


def test_streamed_agrees_with_published_on_a_pipeline_under_the_same_autocast() -> None:
    expected, network = build_pipeline(), build_pipeline()
    images, labels = batch()
    with autocast():
        published_step(expected, images, labels, 0.4)
        streamed_step(network, images, labels, 0.4)
    assert_close(gradients(network), gradients(expected))


@pytest.mark.parametrize("build", [build_cascade, build_pipeline])
@pytest.mark.parametrize("closed_form", [True, False])
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_beliefs_and_logit_gradients_are_float32(
    build: Any, closed_form: bool, direction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.dtype] = []

    def advance_and_look(chain: BeliefChain, logits: Tensor) -> Tensor:
        gradient = advance(chain, logits)
        seen.extend([logits.dtype, chain.belief.dtype, gradient.dtype])
        return gradient

    kind = ReverseBeliefChain if direction == "reverse" else BeliefChain
    advance = kind.advance
    monkeypatch.setattr(kind, "advance", advance_and_look)
    network = build()
    with autocast():
        streamed_step(network, *batch(), 0.4, closed_form=closed_form, direction=direction)
        predictions = list(network.logits_by_module(batch()[0]))
    assert seen == [torch.float32] * 3 * len(network.local_modules)
    assert {logits.dtype for logits in predictions} == {torch.float32}


def test_the_initial_belief_is_not_rounded_under_autocast() -> None:
    features = torch.zeros(2, 3, dtype=torch.bfloat16)
    with autocast():
        belief = uniform_belief(features, CLASSES)
    assert belief.dtype == torch.float32
    assert torch.equal(belief, torch.full((2, CLASSES), 1 / CLASSES))


@pytest.mark.parametrize("step", [published_step, *list(STEPS.values())[:2]])
def test_a_network_with_bfloat16_parameters_has_bfloat16_beliefs(step: Any) -> None:
    network = build_cascade().bfloat16()
    images, labels = batch()
    loss = step(network, images.bfloat16(), labels, 0.4)
    assert loss.dtype == torch.bfloat16
    assert {parameter.grad.dtype for parameter in network.parameters() if parameter.grad is not None} == {
        torch.bfloat16
    }


def test_optimizers_in_turn_update_float32_weights() -> None:
    network, at_the_end = build_cascade(), build_cascade()
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in network.local_modules]
    with autocast():
        streamed_step(network, *batch(), 0.4, optimizers=optimizers)
        streamed_step(at_the_end, *batch(), 0.4)
    torch.optim.SGD(at_the_end.local_modules.parameters(), lr=0.1).step()
    for one, other in zip(network.parameters(), at_the_end.parameters(), strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)


@pytest.mark.parametrize("build", [build_cascade, build_pipeline])
def test_a_second_step_in_the_same_autocast_context_uses_the_updated_weights(build: Any) -> None:
    network, apart = build(), build()
    with autocast():
        for _ in range(3):
            optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in network.local_modules]
            streamed_step(network, *batch(), 0.4, optimizers=optimizers)
    for _ in range(3):
        optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in apart.local_modules]
        with autocast():
            streamed_step(apart, *batch(), 0.4, optimizers=optimizers)
    for one, other in zip(network.parameters(), apart.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("build", [build_cascade, build_pipeline])
def test_backward_gives_the_same_inside_and_outside_of_autocast(build: Any) -> None:
    inside, outside = build(), build()
    images, labels = batch()
    with autocast():
        F.cross_entropy(inside(images), labels).backward()
        loss = F.cross_entropy(outside(images), labels)
    loss.backward()
    assert all(torch.equal(one, other) for one, other in zip(gradients(inside), gradients(outside), strict=True))


@pytest.mark.parametrize("step", [streamed_step, vectorised_step])
def test_closed_form_gradients_are_as_exact_as_those_of_autograd(step: Any) -> None:
    images, labels = batch()
    exact, by_hand, by_autograd = build_cascade(), build_cascade(), build_cascade()
    published_step(exact, images, labels, 0.4)
    with autocast():
        step(by_hand, images, labels, 0.4)
        streamed_step(by_autograd, images, labels, 0.4, closed_form=False)

    def error(network: BeliefNetwork) -> float:
        pairs = zip(gradients(network), gradients(exact), strict=True)
        return sum(float((one - other).square().sum()) for one, other in pairs) ** 0.5

    assert 0 < error(by_hand) <= 1.2 * error(by_autograd)
