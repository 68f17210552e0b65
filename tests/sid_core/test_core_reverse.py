"""The local objective in direction reverse: value, gradient, minimum, and the chain of beliefs."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor

from sid_core import local_loss
from sid_core.objective import log_smoothed_label, reverse_divergence_and_gradient
from sid_core.steps.chain import ReverseBeliefChain

REPEATABLE = settings(
    deadline=None, derandomize=True, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
seeds = st.integers(0, 2**32)
class_counts = st.integers(2, 12)
batch_sizes = st.integers(1, 8)
alphas = st.floats(0.01, 1) | st.just(1.0)
smoothings = st.floats(1e-6, 1, exclude_max=True)


def draw_module(seed: int, classes: int, batch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and the logarithm of a previous belief, in float64."""
    torch.manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, dtype=torch.float64)
    log_before = (3 * torch.randn(batch, classes, dtype=torch.float64)).log_softmax(dim=1)
    return logits, torch.randint(classes, (batch,)), log_before


def anchor(labels: Tensor, log_before: Tensor, alpha: float, smoothing: float) -> Tensor:
    return alpha * log_smoothed_label(labels, log_before, smoothing) + (1 - alpha) * log_before


def by_hand(
    logits: Tensor, labels: Tensor, log_before: Tensor, alpha: float, smoothing: float
) -> tuple[float, list[list[float]]]:
    """Loss and gradient entry by entry, in plain Python; the gradient from the Jacobian of the softmax."""
    losses, gradients = [], []
    for row, label, before in zip(logits.tolist(), labels.tolist(), log_before.tolist(), strict=True):
        log_total = math.log(math.fsum(math.exp(value) for value in row))
        log_belief = [value - log_total for value in row]
        belief = [math.exp(value) for value in log_belief]
        wanted = [(1 - smoothing) * (index == label) + smoothing / len(row) for index in range(len(row))]
        to_label = math.fsum(p * (log - math.log(w)) for p, log, w in zip(belief, log_belief, wanted, strict=True))
        to_before = math.fsum(p * (log - b) for p, log, b in zip(belief, log_belief, before, strict=True))
        losses.append(alpha * to_label + (1 - alpha) * to_before)
        by_belief = [
            log + 1 - alpha * math.log(w) - (1 - alpha) * b
            for log, w, b in zip(log_belief, wanted, before, strict=True)
        ]
        gradients.append(
            [
                math.fsum(
                    slope * p * ((index == other) - belief[index])
                    for other, (slope, p) in enumerate(zip(by_belief, belief, strict=True))
                )
                / len(labels)
                for index in range(len(row))
            ]
        )
    return math.fsum(losses) / len(losses), gradients


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas, smoothings)
def test_closed_form_autograd_and_plain_python_agree(
    seed: int, classes: int, batch: int, alpha: float, smoothing: float
) -> None:
    logits, labels, log_before = draw_module(seed, classes, batch)
    logits.requires_grad_()
    loss = local_loss(logits, labels, log_before.exp(), alpha, "reverse", smoothing)
    loss.backward()
    log_belief = logits.detach().log_softmax(dim=1)
    divergence, gradient = reverse_divergence_and_gradient(
        log_belief, log_belief.exp(), anchor(labels, log_before, alpha, smoothing)
    )
    expected_loss, expected_gradient = by_hand(logits.detach(), labels, log_before, alpha, smoothing)
    assert float(loss.detach()) == pytest.approx(expected_loss, rel=1e-12, abs=1e-12)
    assert float(divergence.mean()) == pytest.approx(expected_loss, rel=1e-12, abs=1e-12)
    torch.testing.assert_close(gradient, logits.grad, rtol=0, atol=1e-15)
    torch.testing.assert_close(gradient, torch.tensor(expected_gradient, dtype=torch.float64), rtol=0, atol=1e-12)


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas, smoothings)
def test_the_loss_is_never_negative(seed: int, classes: int, batch: int, alpha: float, smoothing: float) -> None:
    logits, labels, log_before = draw_module(seed, classes, batch)
    assert float(local_loss(logits, labels, log_before.exp(), alpha, "reverse", smoothing)) >= -1e-15


@REPEATABLE
@given(seeds, class_counts, batch_sizes, alphas, smoothings)
def test_the_minimiser_is_the_normalised_geometric_mean(
    seed: int, classes: int, batch: int, alpha: float, smoothing: float
) -> None:
    other, labels, log_before = draw_module(seed, classes, batch)
    log_anchor = anchor(labels, log_before, alpha, smoothing)
    geometric = log_smoothed_label(labels, log_before, smoothing).exp() ** alpha * log_before.exp() ** (1 - alpha)
    optimum = (geometric / geometric.sum(dim=1, keepdim=True)).log().requires_grad_()
    least = local_loss(optimum, labels, log_before.exp(), alpha, "reverse", smoothing)
    least.backward()
    assert optimum.grad is not None
    assert float(optimum.grad.abs().max()) <= 1e-14
    log_belief = optimum.detach().log_softmax(dim=1)
    closed_form = reverse_divergence_and_gradient(log_belief, log_belief.exp(), log_anchor)[1]
    assert float(closed_form.abs().max()) <= 1e-14
    for candidate in (other, optimum.detach() + 0.01 * other):
        loss = local_loss(candidate, labels, log_before.exp(), alpha, "reverse", smoothing)
        assert float(loss) >= float(least.detach()) - 1e-12


@REPEATABLE
@given(seeds, class_counts, batch_sizes, st.lists(alphas, min_size=1, max_size=4), smoothings, st.integers(1, 5))
def test_a_chain_gives_beliefs_losses_and_gradients_one_by_one_and_all_at_once(
    seed: int, classes: int, batch: int, chosen: list[float], smoothing: float, parts: int
) -> None:
    _, labels, log_before = draw_module(seed, classes, batch)
    logits = torch.stack([draw_module(seed + 1 + index, classes, batch)[0] for index in range(len(chosen))])
    stepwise = ReverseBeliefChain(log_before.exp(), labels, chosen, smoothing, parts)
    at_once = ReverseBeliefChain(log_before.exp(), labels, chosen, smoothing, parts)
    all_gradients = at_once.advance_all(logits, torch.cat((log_before[None], logits.log_softmax(dim=2))).exp())
    total = 0.0
    for index, alpha in enumerate(chosen):
        loss, gradient = by_hand(logits[index], labels, log_before, alpha, smoothing)
        expected = torch.tensor(gradient, dtype=torch.float64) / parts
        torch.testing.assert_close(stepwise.advance(logits[index]), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(all_gradients[index], expected, rtol=0, atol=1e-12)
        log_before = logits[index].log_softmax(dim=1)
        torch.testing.assert_close(stepwise.belief, log_before.exp(), rtol=1e-12, atol=0)
        total += loss / parts
    assert float(stepwise.loss) == pytest.approx(total, rel=1e-11, abs=1e-11)
    assert float(at_once.loss) == pytest.approx(total, rel=1e-11, abs=1e-11)
    torch.testing.assert_close(at_once.belief, stepwise.belief, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_chain_is_finite_where_beliefs_underflow(dtype: torch.dtype) -> None:
    far = 2000.0  # nats: e^-2000 is zero in both
    chain = ReverseBeliefChain(torch.tensor([[0.5, 0.5]], dtype=dtype), torch.tensor([1]), [0.5, 0.5], 0.1)
    first = chain.advance(torch.tensor([[0.0, far]], dtype=dtype))
    assert float(chain.belief[0, 0]) == 0
    second = chain.advance(torch.tensor([[far, 0.0]], dtype=dtype))
    assert (
        float(first.abs().max()) == float(second.abs().max()) == 0
    )  # the gradient through a saturated softmax is zero
    # The first belief is certain of the label, the second of the other class, which had e^-2000 in the first.
    expected = 0.5 * (-math.log(0.95) + math.log(2)) + 0.5 * (-math.log(0.05) + far)
    assert float(chain.loss) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [1e-300, 0.1, 1 - 1e-16])
def test_a_smoothed_label_has_a_finite_logarithm(dtype: torch.dtype, smoothing: float) -> None:
    log_label = log_smoothed_label(torch.tensor([2, 0]), torch.zeros(2, 5, dtype=dtype), smoothing)
    assert log_label.dtype == dtype
    assert bool(log_label.isfinite().all())
    torch.testing.assert_close(log_label.exp().sum(dim=1), torch.ones(2, dtype=dtype))
    assert log_label.argmax(dim=1).tolist() == [2, 0] or smoothing > 0.9


def test_a_previous_belief_gets_no_gradient() -> None:
    logits, labels, log_before = draw_module(0, 4, 3)
    log_before.requires_grad_()
    arguments = (logits.requires_grad_(), labels, log_before.exp(), 0.5, "reverse")
    local_loss(*arguments, previous_log_belief=log_before).backward()
    assert log_before.grad is None
    assert logits.grad is not None


def test_fewer_labels_than_beliefs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels have shape \[2\]; legal: \[3\]"):
        log_smoothed_label(torch.tensor([0, 1]), torch.zeros(3, 2), 0.1)
