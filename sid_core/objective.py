"""Beliefs, the local objective of one module, and its closed-form gradient in the logits.

The letters are the paper's: ``B`` batch size, ``C`` classes, ``L`` modules, ``p_y`` the label, ``p_i`` the belief of
module ``i``, ``p_0`` the uniform belief, ``sg`` stop-gradient. The objective (arXiv 2510.03273), averaged over the
batch, has two directions. ``forward`` is what the authors' code computes, ``reverse`` what the paper's text says::

    L_i = alpha * KL(p_y || p_i) + (1 - alpha) * KL(sg(p_{i-1}) || p_i)        forward, p_y one-hot
    L_i = alpha * KL(p_i || p_y) + (1 - alpha) * KL(p_i || sg(p_{i-1}))        reverse, p_y smoothed

``reverse`` is infinite for a one-hot label, so its label keeps ``smoothing / C`` for every class:
``p_y = (1 - smoothing) * onehot + smoothing / C``. The loss of a step is the local losses' sum or their mean.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from numbers import Real
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Alpha = float | Sequence[float] | Tensor
Direction = Literal["forward", "reverse"]
Reduction = Literal["sum", "mean"]
DEFAULT_SMOOTHING = 0.1


def alpha_per_module(alpha: Alpha, modules: int) -> tuple[float, ...]:
    """Checks ``alpha`` and returns it as one number a module.

    Args:
        alpha: the weight of the label, in (0, 1]: one number for all modules, or ``modules`` numbers in the order of
            the modules (a sequence, or a tensor with ``modules`` entries).
        modules: L, the number of modules.

    Raises:
        ValueError: ``alpha`` has the wrong length, is not a number, or lies outside (0, 1].
    """
    if hasattr(alpha, "tolist"):  # a tensor, or an array
        alpha = alpha.tolist()
    values: list[object] = list(alpha) if isinstance(alpha, Iterable) else [alpha] * modules
    if len(values) != modules:
        raise ValueError(f"alpha has {len(values)} values; legal: one number, or one for each of the {modules} modules")
    checked = []
    for value in values:
        # The comparison is written so that NaN fails it.
        if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
            raise ValueError(f"alpha = {value!r}; legal: numbers in (0, 1]")
        checked.append(float(value))
    return tuple(checked)


def check_objective(direction: object, smoothing: object, reduction: object) -> None:
    """Checks the choice of an objective.

    Raises:
        ValueError: ``direction`` or ``reduction`` is not one of its names, or ``smoothing`` not a number in (0, 1).
    """
    _check_name("direction", direction, get_args(Direction))
    _check_name("reduction", reduction, get_args(Reduction))
    if isinstance(smoothing, bool) or not isinstance(smoothing, Real) or not 0 < float(smoothing) < 1:
        raise ValueError(f"smoothing = {smoothing!r}; legal: numbers in (0, 1)")


def _check_name(field: str, value: object, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ValueError(f"{field} = {value!r}; legal: {', '.join(legal)}")


def uniform_belief(features: Tensor, classes: int) -> Tensor:
    """``p_0``: probability 1/C everywhere, ``[B, C]``, on the device of ``features`` ``[B, ...]``."""
    return features.new_full((features.shape[0], classes), 1 / classes, dtype=belief_dtype(features))


def belief_dtype(like: Tensor) -> torch.dtype:
    """The dtype of beliefs, losses and logit gradients where a network gives ``like``: its own, or under autocast.

    Under autocast it is float32, whatever narrower type autocast has chosen for ``like``: beliefs and their gradients
    are differences of probabilities, which eight bits do not tell apart. A network whose own parameters are narrow
    keeps its type, for its layers take no other.
    """
    is_narrow = like.dtype in (torch.bfloat16, torch.float16)
    return torch.float32 if is_narrow and torch.is_autocast_enabled(like.device.type) else like.dtype


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """``p_y``: the labels ``[B]`` (int64) as one-hot rows ``[B, C]`` with the shape, dtype and device of ``like``.

    Raises:
        ValueError: there is not one label a row.
    """
    _check_labels(labels, like)
    return torch.zeros_like(like).scatter_(1, labels.unsqueeze(1), 1)


def log_smoothed_label(labels: Tensor, like: Tensor, smoothing: float) -> Tensor:
    """``log((1 - smoothing) * onehot + smoothing / C)`` for ``labels`` ``[B]``, with shape and dtype of ``like``.

    The two logarithms are taken of Python's numbers, so that they are finite in every dtype.

    Raises:
        ValueError: there is not one label a row.
    """
    _check_labels(labels, like)
    classes = like.shape[1]
    elsewhere = math.log(smoothing) - math.log(classes)
    at_label = math.log1p(-smoothing * (classes - 1) / classes)
    return torch.full_like(like, elsewhere).scatter_(1, labels.unsqueeze(1), at_label)


def check_batch(images: Tensor, labels: Tensor) -> None:
    """Checks that a batch has images, and one label for each.

    Raises:
        ValueError: ``labels`` is not int64 of shape ``[B]``, or B is 0.
    """
    if len(images) == 0:
        raise ValueError("images has 0 samples; legal: 1 or more")
    _check_labels(labels, images)


def _check_labels(labels: Tensor, like: Tensor) -> None:
    if labels.shape != like.shape[:1]:
        raise ValueError(f"labels have shape {list(labels.shape)}; legal: [{like.shape[0]}], one label an image")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels have dtype {labels.dtype}; legal: torch.int64")


def target_belief(label_belief: Tensor, previous_belief: Tensor, alpha: float | Tensor) -> Tensor:
    """``t_i = alpha * p_y + (1 - alpha) * p_{i-1}``, ``[B, C]``: the pointwise minimiser of the local objective."""
    return torch.lerp(previous_belief, label_belief, alpha)


def local_loss(
    logits: Tensor,
    labels: Tensor,
    previous_belief: Tensor,
    alpha: float,
    direction: Direction = "forward",
    smoothing: float = DEFAULT_SMOOTHING,
    *,
    previous_log_belief: Tensor | None = None,
) -> Tensor:
    """``L_i`` as the paper writes it, differentiable in ``logits``.

    Args:
        logits: ``[B, C]``, the output of module ``i``.
        labels: ``[B]``, int64.
        previous_belief: ``p_{i-1}``, ``[B, C]``; treated as a constant.
        alpha: the weight of the label, in (0, 1].
        direction: ``forward`` or ``reverse``.
        smoothing: of the label, in (0, 1); read in ``reverse`` only.
        previous_log_belief: ``log p_{i-1}``, ``[B, C]``, for ``reverse``; by default the logarithm of
            ``previous_belief``, which is infinite where that has underflowed.

    Returns:
        The loss in nats, averaged over the batch: a tensor of shape ``[]``.

    Raises:
        ValueError: ``direction`` or ``smoothing`` is not legal.
    """
    check_objective(direction, smoothing, "sum")
    log_belief = F.log_softmax(logits, dim=1)
    if direction == "reverse":
        log_label = log_smoothed_label(labels, log_belief, smoothing)
        log_before = previous_belief.log() if previous_log_belief is None else previous_log_belief
        fidelity, consistency = (
            F.kl_div(other.detach(), log_belief, reduction="batchmean", log_target=True)  # KL(p_i || other)
            for other in (log_label, log_before)
        )
    else:
        fidelity = F.nll_loss(log_belief, labels)  # KL(p_y || p_i): a one-hot p_y has no entropy
        consistency = F.kl_div(log_belief, previous_belief.detach(), reduction="batchmean")
    return alpha * fidelity + (1 - alpha) * consistency


def logit_gradient(belief: Tensor, target: Tensor, parts: int = 1) -> Tensor:
    """The gradient of ``L_i / parts`` in ``logits_i``, ``forward``: ``(p_i - t_i) / (B * parts)``, ``[..., B, C]``.

    ``L_i`` is the cross-entropy of the constant soft target ``t_i`` plus a term that does not depend on the logits, so
    no loss graph is needed: ``logits_i.backward(gradient=logit_gradient(p_i, t_i))``.
    """
    # A scalar product is four times faster than a quotient.
    return (belief - target).mul_(1 / (belief.shape[-2] * parts))


def reverse_divergence_and_gradient(
    log_belief: Tensor, belief: Tensor, log_anchor: Tensor, parts: int = 1
) -> tuple[Tensor, Tensor]:
    """``reverse``: each row's ``L_i``, and the gradient of ``L_i / parts`` in ``logits_i``.

    With ``s = log p_i - alpha * log p_y - (1 - alpha) * log p_{i-1}`` a row's loss is ``<p_i, s>``, and ``dL/dp_i`` is
    ``s + 1``; through the softmax, ``dL/dlogits = p_i * (s + 1 - <p_i, s + 1>)``, which is ``p_i * (s - <p_i, s>)``.

    Args:
        log_belief: ``log p_i``, ``[..., B, C]``.
        belief: ``p_i``, ``[..., B, C]``.
        log_anchor: ``alpha * log p_y + (1 - alpha) * log p_{i-1}``, ``[..., B, C]``; normalised, it is the minimiser.
        parts: what the gradient is divided by, besides the batch.

    Returns:
        The losses ``[..., B, 1]``, in nats, and the gradient ``[..., B, C]``, averaged over the batch.
    """
    slope = log_belief - log_anchor
    divergence = (belief * slope).sum(dim=-1, keepdim=True)
    return divergence, slope.sub_(divergence).mul_(belief).mul_(1 / (belief.shape[-2] * parts))


class BeliefChain:
    """The beliefs of one step, first to last: what each module's logits mean, ``forward``. Call without gradients.

    Args:
        initial_belief: ``p_0``, ``[B, C]``.
        labels: ``[B]``, int64 in [0, C).
        alphas: one number in (0, 1] a module.
        parts: what loss and gradients are divided by, besides the batch.

    Attributes:
        belief: the belief of the module seen last, ``p_0`` at first, ``[B, C]``.

    Raises:
        ValueError: there is not one label an image.
    """

    def __init__(self, initial_belief: Tensor, labels: Tensor, alphas: Sequence[float], parts: int = 1) -> None:
        self.belief = initial_belief
        self._parts = parts
        self._label_belief = one_hot(labels, initial_belief)
        self._alphas = pairwise((*alphas, 1.0))  # alpha_i with alpha_{i + 1}
        self._total = torch.special.entr(initial_belief).sum().mul_(alphas[0] - 1)  # B times the loss, so far

    @property
    def loss(self) -> Tensor:
        """The local losses summed over modules, by ``parts``: nats, shape ``[]``; complete once the last was seen."""
        total: Tensor = self._total / (self.belief.shape[0] * self._parts)
        return total

    def advance(self, logits: Tensor) -> Tensor:
        """Moves on to ``p_i`` by ``logits_i``, ``[B, C]``; returns the gradient of the loss in them, ``[B, C]``."""
        alpha, next_alpha = next(self._alphas)
        log_belief = torch.log_softmax(logits, 1)
        belief = log_belief.exp()
        target = target_belief(self._label_belief, self.belief, alpha)
        # log p_i has the weight -t_i in L_i, and (1 - alpha) p_i in the entropy that L_{i + 1} starts from.
        weight = torch.sub(target, belief, alpha=1 - next_alpha)
        self._total.sub_(torch.dot(weight.view(-1), log_belief.view(-1)))
        self.belief = belief
        return logit_gradient(belief, target, self._parts)

    def advance_all(self, logits: Tensor, beliefs: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Moves on over ``n`` modules whose beliefs are known, in a few operators for all of them.

        Args:
            logits: of the next ``n`` modules, ``[n, B, C]``.
            beliefs: the one before them and theirs, ``[n + 1, B, C]``.
            teacher_logits: what ``beliefs[1:]`` are of, where that is another pass than the one of ``logits``,
                ``[n, B, C]``: modules that draw random numbers differ in the two.

        Returns:
            The gradient of each module's loss in its logits, ``[n, B, C]``.
        """
        alphas = list(islice(self._alphas, len(logits)))
        share, next_share = _numbers(alphas, logits).view(len(logits), 2, 1, 1).unbind(1)
        target = target_belief(self._label_belief, beliefs[:-1], share)
        own = beliefs[1:] if teacher_logits is None else logits.softmax(2)
        gradient = logit_gradient(own, target, self._parts)  # [n, B, C]
        if teacher_logits is None:
            target.sub_((1 - next_share) * beliefs[1:])
        else:
            entropy_weight = (1 - next_share) * beliefs[1:]
            self._total.add_(torch.dot(entropy_weight.view(-1), torch.log_softmax(teacher_logits, 2).view(-1)))
        self._total.sub_(torch.dot(target.view(-1), torch.log_softmax(logits, 2).view(-1)))
        self.belief = beliefs[-1]
        return gradient


class ReverseBeliefChain(BeliefChain):
    """The same, ``reverse``. Beliefs are kept as logarithms, too, which are finite where a belief has underflowed.

    Args:
        initial_belief: as for :class:`BeliefChain`, and so are ``labels``, ``alphas`` and ``parts``.
        labels: ``[B]``.
        alphas: one number a module.
        smoothing: of the label, in (0, 1).
        parts: 1 or more.
        initial_log_belief: ``log p_0``, ``[B, C]``; None: the logarithm of ``initial_belief``.

    Raises:
        ValueError: there is not one label an image.
    """

    def __init__(
        self,
        initial_belief: Tensor,
        labels: Tensor,
        alphas: Sequence[float],
        smoothing: float,
        parts: int = 1,
        initial_log_belief: Tensor | None = None,
    ) -> None:
        self.belief = initial_belief
        self._parts = parts
        self._log_belief = initial_belief.log() if initial_log_belief is None else initial_log_belief
        self._log_label = log_smoothed_label(labels, initial_belief, smoothing)
        self._shares: Iterator[float] = iter(alphas)
        self._total = initial_belief.new_zeros(())

    def advance(self, logits: Tensor) -> Tensor:
        """As :meth:`BeliefChain.advance`."""
        log_belief = torch.log_softmax(logits, 1)
        belief = log_belief.exp()
        log_anchor = torch.lerp(self._log_belief, self._log_label, next(self._shares))
        divergence, gradient = reverse_divergence_and_gradient(log_belief, belief, log_anchor, self._parts)
        self._total.add_(divergence.sum())
        self.belief, self._log_belief = belief, log_belief
        return gradient

    def advance_all(self, logits: Tensor, beliefs: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """As :meth:`BeliefChain.advance_all`."""
        log_own = torch.log_softmax(logits, 2)
        log_beliefs = log_own if teacher_logits is None else torch.log_softmax(teacher_logits, 2)
        own = beliefs[1:] if teacher_logits is None else log_own.exp()
        share = _numbers(list(islice(self._shares, len(logits))), logits).view(-1, 1, 1)
        before = torch.cat((self._log_belief.unsqueeze(0), log_beliefs[:-1]))
        log_anchors = torch.lerp(before, self._log_label, share)
        divergence, gradient = reverse_divergence_and_gradient(log_own, own, log_anchors, self._parts)
        self._total.add_(divergence.sum())
        self.belief, self._log_belief = beliefs[-1], log_beliefs[-1]
        return gradient


def _numbers(values: Sequence[object], like: Tensor) -> Tensor:
    """``values`` as a tensor of the dtype of ``like``, on its device.

    Unlike ``new_tensor`` it does the same for tensors without contents, in every version of PyTorch.
    """
    return torch.tensor(values, dtype=like.dtype).to(like.device)


def belief_chain(
    initial_belief: Tensor,
    labels: Tensor,
    alphas: Sequence[float],
    direction: Direction,
    smoothing: float,
    reduction: Reduction,
    *,
    modules: int | None = None,
    initial_log_belief: Tensor | None = None,
) -> BeliefChain:
    """The chain of a step whose choices :func:`check_objective` has passed.

    A chain over a part of the network takes the belief before that part, ``p_k`` for ``p_0``; the losses of all parts
    add up to that of the step. ``modules`` is then the number of all, which a mean is over.
    """
    parts = (modules or len(alphas)) if reduction == "mean" else 1
    if direction == "reverse":
        return ReverseBeliefChain(initial_belief, labels, alphas, smoothing, parts, initial_log_belief)
    return BeliefChain(initial_belief, labels, alphas, parts)
