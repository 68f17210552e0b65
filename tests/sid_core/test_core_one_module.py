"""With one module, SID is backpropagation: with label smoothing if alpha is below 1."""

import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from sid_core import Cascade, cascade, linear_trunk, published_step, streamed_step

REPEATABLE = settings(
    deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
STEPS = {
    "published": published_step,
    "streamed": streamed_step,
    "streamed through autograd": lambda *arguments: streamed_step(*arguments, closed_form=False),
}
steps = st.sampled_from(sorted(STEPS))


def build(seed: int, classes: int, batch: int, layers: int) -> tuple[Cascade, Tensor, Tensor]:
    """A network of one module in float64, images and labels."""
    torch.manual_seed(seed)
    network = cascade(1, classes, 1, 5, 7, depth=layers, trunk=linear_trunk(9, 5)).double()
    return network, torch.randn(batch, 1, 3, 3, dtype=torch.float64), torch.randint(classes, (batch,))


def assert_same_gradients(ours: Cascade, reference: Cascade) -> None:
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-11, atol=1e-13)


@REPEATABLE
@given(steps, st.integers(0, 2**32), st.integers(2, 12), st.integers(1, 8), st.integers(1, 3))
def test_one_module_at_alpha_one_is_backpropagation(
    name: str, seed: int, classes: int, batch: int, layers: int
) -> None:
    network, images, labels = build(seed, classes, batch, layers)
    reference, *_ = build(seed, classes, batch, layers)
    loss = STEPS[name](network, images, labels, 1)
    reference_loss = F.cross_entropy(reference(images), labels)
    reference_loss.backward()
    assert float(loss) == pytest.approx(float(reference_loss.detach()), rel=1e-12)
    assert_same_gradients(network, reference)


@REPEATABLE
@given(steps, st.integers(0, 2**32), st.integers(2, 12), st.integers(1, 8), st.floats(0.01, 1))
def test_one_module_is_backpropagation_with_smoothed_labels(
    name: str, seed: int, classes: int, batch: int, alpha: float
) -> None:
    network, images, labels = build(seed, classes, batch, 1)
    reference, *_ = build(seed, classes, batch, 1)
    loss = STEPS[name](network, images, labels, alpha)
    smoothed_loss = F.cross_entropy(reference(images), labels, label_smoothing=1 - alpha)
    smoothed_loss.backward()
    assert_same_gradients(network, reference)
    # Cross-entropy is KL plus the entropy of the target, here (1 - alpha) times that of the uniform belief.
    difference = (1 - alpha) * math.log(classes)
    assert float(smoothed_loss.detach()) - float(loss) == pytest.approx(difference, rel=1e-12, abs=1e-12)
