"""The local objective of one module: its value, its gradient, its minimum, and what theory says about it."""

import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from sid_core import alpha_per_module, local_loss, logit_gradient, target_belief, uniform_belief
from sid_core.objective import one_hot
from sid_core.steps.chain import BeliefChain

REPEATABLE = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32)
class_counts = st.integers(2, 12)
batch_sizes = st.integers(1, 8)
alphas = st.floats(0.01, 1) | st.just(1.0)


def draw_module(seed: int, classes: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and a previous belief, in float64."""
    torch.manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, dtype=torch.float64)
    previous = (3 * torch.randn(batch, classes, dtype=torch.float64)).softmax(dim=1)
    return logits, torch.randint(classes, (batch,)), previous


def gradient_by_hand(logits: Tensor, labels: Tensor, previous: Tensor, alpha: float) -> Tensor:
    """``(p_i - t_i) / B`` entry by entry, in plain Python."""
    rows = []
    for row, label, belief in zip(logits.tolist(), labels.tolist(), previous.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        target = [alpha * (index == label) + (1 - alpha) * share for index, share in enumerate(belief)]
        rows.append(
            [(math.exp(value) / total - wanted) / len(labels) for value, wanted in zip(row, target, strict=True)]
        )
    return torch.tensor(rows, dtype=torch.float64)


def loss_by_hand(logits: Tensor, labels: Tensor, previous: Tensor, alpha: float) -> float:
    """``alpha KL(p_y || p_i) + (1 - alpha) KL(p_{i-1} || p_i)``, averaged, in plain Python."""
    losses = []
    for row, label, belief in zip(logits.tolist(), labels.tolist(), previous.tolist(), strict=True):
        log_total = math.log(sum(math.exp(value) for value in row))
        log_belief = [value - log_total for value in row]
        consistency = sum(share * (math.log(share) - log) for share, log in zip(belief, log_belief, strict=True))
        losses.append(-alpha * log_belief[label] + (1 - alpha) * consistency)
    return sum(losses) / len(losses)


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas)
def test_the_loss_is_the_papers(seed: int, classes: int, batch: int, alpha: float) -> None:
    logits, labels, previous = draw_module(seed, classes, batch)
    expected = loss_by_hand(logits, labels, previous, alpha)
    assert float(local_loss(logits, labels, previous, alpha)) == pytest.approx(expected, rel=1e-11, abs=1e-12)


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas)
def test_closed_form_autograd_and_plain_python_give_the_same_logit_gradient(
    seed: int, classes: int, batch: int, alpha: float
) -> None:
    logits, labels, previous = draw_module(seed, classes, batch)
    logits.requires_grad_()
    local_loss(logits, labels, previous, alpha).backward()
    belief = logits.detach().softmax(dim=1)
    closed_form = logit_gradient(belief, target_belief(one_hot(labels, belief), previous, alpha))
    torch.testing.assert_close(closed_form, logits.grad, rtol=0, atol=1e-12)
    by_hand = gradient_by_hand(logits.detach(), labels, previous, alpha)
    torch.testing.assert_close(closed_form, by_hand, rtol=0, atol=1e-12)


@REPEATABLE
@given(seeds, class_counts, batch_sizes, st.lists(alphas, min_size=1, max_size=4))
def test_a_chain_gives_beliefs_losses_and_gradients(seed: int, classes: int, batch: int, chosen: list[float]) -> None:
    previous, labels = draw_module(seed, classes, batch)[2:0:-1]
    chain = BeliefChain(previous, labels, chosen)
    loss = 0.0
    for index, alpha in enumerate(chosen):
        logits = draw_module(seed + 1 + index, classes, batch)[0]
        gradient = chain.advance(logits)
        torch.testing.assert_close(gradient, gradient_by_hand(logits, labels, previous, alpha), rtol=0, atol=1e-12)
        loss += loss_by_hand(logits, labels, previous, alpha)
        previous = logits.softmax(dim=1)
        torch.testing.assert_close(chain.belief, previous, rtol=1e-12, atol=0)
    assert float(chain.loss) == pytest.approx(loss, rel=1e-11, abs=1e-11)


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas)
def test_the_loss_is_never_negative(seed: int, classes: int, batch: int, alpha: float) -> None:
    assert float(local_loss(*draw_module(seed, classes, batch), alpha)) >= -1e-15


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas)
def test_the_gradient_vanishes_where_the_belief_is_its_target(
    seed: int, classes: int, batch: int, alpha: float
) -> None:
    _, labels, previous = draw_module(seed, classes, batch)
    target = target_belief(one_hot(labels, previous), previous, alpha)
    # At alpha 1 the target is one-hot, and its logits are infinite; a thousand nats are enough.
    logits = target.log().clamp_min(-1000).requires_grad_()
    local_loss(logits, labels, previous, alpha).backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) <= 1e-15
    assert float(logit_gradient(logits.detach().softmax(dim=1), target).abs().max()) <= 1e-15


@REPEATABLE
@given(seeds, class_counts, batch_sizes, st.floats(0.01, 0.99))
def test_no_other_belief_has_a_smaller_loss_than_the_target(seed: int, classes: int, batch: int, alpha: float) -> None:
    logits, labels, previous = draw_module(seed, classes, batch)
    optimum = target_belief(one_hot(labels, previous), previous, alpha).log()
    at_optimum = float(local_loss(optimum, labels, previous, alpha))
    assert at_optimum <= float(local_loss(logits, labels, previous, alpha)) + 1e-12
    assert at_optimum <= float(local_loss(optimum + 0.01 * logits, labels, previous, alpha)) + 1e-12


@REPEATABLE
@given(seeds, class_counts, batch_sizes, st.lists(alphas, min_size=1, max_size=8))
def test_at_the_optimum_each_module_brings_the_label_closer_by_one_minus_alpha(
    seed: int, classes: int, batch: int, alpha_of_module: list[float]
) -> None:
    _, labels, belief = draw_module(seed, classes, batch)
    label_belief = one_hot(labels, belief)
    for alpha in alpha_of_module:
        refined = target_belief(label_belief, belief, alpha)
        # KL from a one-hot label is the negative logarithm of the label's belief.
        before, after = (-distribution.gather(1, labels[:, None]).log() for distribution in (belief, refined))
        assert bool((after <= (1 - alpha) * before + 1e-12).all())
        torch.testing.assert_close(refined.sum(dim=1), torch.ones(batch, dtype=torch.float64))
        belief = refined


def test_the_consistency_term_sends_no_gradient_to_the_previous_belief() -> None:
    logits, labels, previous = draw_module(0, 4, 3)
    previous.requires_grad_()
    local_loss(logits.requires_grad_(), labels, previous, 0.5).backward()
    assert previous.grad is None
    assert logits.grad is not None


def test_the_loss_is_finite_where_a_previous_belief_has_underflowed() -> None:
    logits = torch.tensor([[0.0, 200.0]])
    previous = torch.tensor([[1.0, 0.0]])
    loss = local_loss(logits, torch.tensor([1]), previous, 0.5)
    assert float(loss) == pytest.approx(100)


def test_a_chain_is_finite_where_beliefs_underflow() -> None:
    chain = BeliefChain(torch.tensor([[1.0, 0.0]]), torch.tensor([1]), [0.5, 0.5])
    torch.testing.assert_close(chain.advance(torch.tensor([[0.0, 200.0]])), torch.tensor([[-0.5, 0.5]]))
    torch.testing.assert_close(chain.advance(torch.tensor([[200.0, 0.0]])), torch.tensor([[1.0, -1.0]]))
    assert float(chain.loss) == pytest.approx(100 + 200)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_first_belief_is_uniform_in_the_dtype_of_the_features(dtype: torch.dtype) -> None:
    belief = uniform_belief(torch.zeros(3, 7, dtype=dtype), 5)
    assert torch.equal(belief, torch.full((3, 5), 0.2, dtype=dtype))


@pytest.mark.parametrize("alpha", [0.25, [0.25] * 3, (0.25,) * 3, torch.tensor(0.25), torch.full((3,), 0.25)], ids=repr)
def test_alpha_is_one_number_or_one_per_module(alpha: Any) -> None:
    assert alpha_per_module(alpha, 3) == (0.25, 0.25, 0.25)


def test_an_integer_alpha_becomes_a_float() -> None:
    values = alpha_per_module([1, 1], 2)
    assert values == (1.0, 1.0)
    assert all(type(value) is float for value in values)


def test_the_error_for_a_wrong_number_of_alphas_says_how_many_are_legal() -> None:
    with pytest.raises(ValueError, match="2 values; legal: one number, or one for each of the 3 modules"):
        alpha_per_module([0.5, 0.5], 3)


def test_the_error_for_an_illegal_alpha_has_its_value_and_the_legal_range() -> None:
    with pytest.raises(ValueError, match=r"alpha = 1\.5; legal: numbers in \(0, 1\]"):
        alpha_per_module([0.5, 1.5], 2)


@pytest.mark.parametrize("alpha", [None, 1j], ids=repr)
def test_an_alpha_that_is_not_a_number_is_a_value_error(alpha: Any) -> None:
    with pytest.raises(ValueError, match="alpha"):
        alpha_per_module(alpha, 3)
