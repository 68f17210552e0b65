"""Beliefs, the local objective of one module, and its closed-form gradient in the logits.

The letters are the paper's: ``B`` batch size, ``C`` classes, ``L`` modules, ``p_y`` the one-hot label, ``p_i`` the
belief of module ``i``, ``p_0`` the uniform belief, ``sg`` stop-gradient. The objective (arXiv 2510.03273, in the
direction that the authors' code computes) is::

    L_i = alpha * KL(p_y || p_i) + (1 - alpha) * KL(sg(p_{i-1}) || p_i)        averaged over the batch
"""

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor

Alpha = float | Sequence[float] | Tensor


def alpha_per_module(alpha: Alpha, modules: int) -> tuple[float, ...]:
    """Checks ``alpha`` and returns it as one number a module.

    Args:
        alpha: the weight of the label, in (0, 1]: one number for all modules, or ``modules`` numbers in the order of
            the modules (a sequence, or a tensor with ``modules`` entries).
        modules: L, the number of modules.

    Raises:
        ValueError: ``alpha`` has the wrong length, is not a number, or lies outside (0, 1].
    """
    if isinstance(alpha, Tensor):
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


def uniform_belief(features: Tensor, classes: int) -> Tensor:
    """``p_0``: probability 1/C everywhere, ``[B, C]``, with the dtype and device of ``features`` ``[B, ...]``."""
    return features.new_full((features.shape[0], classes), 1 / classes)


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """``p_y``: the labels ``[B]`` (int64) as one-hot rows ``[B, C]`` with the shape, dtype and device of ``like``.

    Raises:
        ValueError: there is not one label a row.
    """
    if labels.shape != like.shape[:1]:
        raise ValueError(f"labels have shape {list(labels.shape)}; legal: [{like.shape[0]}], one label an image")
    return torch.zeros_like(like).scatter_(1, labels.unsqueeze(1), 1)


def target_belief(label_belief: Tensor, previous_belief: Tensor, alpha: float | Tensor) -> Tensor:
    """``t_i = alpha * p_y + (1 - alpha) * p_{i-1}``, ``[B, C]``: the pointwise minimiser of the local objective."""
    return torch.lerp(previous_belief, label_belief, alpha)


def local_loss(logits: Tensor, labels: Tensor, previous_belief: Tensor, alpha: float) -> Tensor:
    """``L_i`` as the paper writes it, differentiable in ``logits``.

    Args:
        logits: ``[B, C]``, the output of module ``i``.
        labels: ``[B]``, int64.
        previous_belief: ``p_{i-1}``, ``[B, C]``; treated as a constant.
        alpha: the weight of the label, in (0, 1].

    Returns:
        The loss in nats, averaged over the batch: a tensor of shape ``[]``.
    """
    log_belief = F.log_softmax(logits, dim=1)
    fidelity = F.nll_loss(log_belief, labels)  # KL(p_y || p_i): a one-hot p_y has no entropy
    consistency = F.kl_div(log_belief, previous_belief.detach(), reduction="batchmean")
    return alpha * fidelity + (1 - alpha) * consistency


def logit_gradient(belief: Tensor, target: Tensor) -> Tensor:
    """The gradient of ``L_i`` in ``logits_i``: ``(p_i - t_i) / B``, ``[..., B, C]``.

    ``L_i`` is the cross-entropy of the constant soft target ``t_i`` plus a term that does not depend on the logits, so
    no loss graph is needed: ``logits_i.backward(gradient=logit_gradient(p_i, t_i))``.
    """
    return (belief - target).mul_(1 / belief.shape[-2])  # a scalar product is four times faster than a quotient


class BeliefChain:
    """The beliefs of one step, first to last: what each module's logits mean. Call without gradients.

    Args:
        initial_belief: ``p_0``, ``[B, C]``.
        labels: ``[B]``, int64 in [0, C).
        alphas: one number in (0, 1] a module.

    Attributes:
        belief: the belief of the module seen last, ``p_0`` at first, ``[B, C]``.

    Raises:
        ValueError: there is not one label an image.
    """

    def __init__(self, initial_belief: Tensor, labels: Tensor, alphas: Sequence[float]) -> None:
        self.belief = initial_belief
        self._label_belief = one_hot(labels, initial_belief)
        self._alphas = pairwise((*alphas, 1.0))  # alpha_i with alpha_{i + 1}
        self._total = torch.special.entr(initial_belief).sum().mul_(alphas[0] - 1)  # B times the loss, so far

    @property
    def loss(self) -> Tensor:
        """The local losses summed over the modules, in nats, shape ``[]``; complete once the last module was seen."""
        total: Tensor = self._total / self.belief.shape[0]
        return total

    def advance(self, logits: Tensor) -> Tensor:
        """Moves on to ``p_i`` by ``logits_i``, ``[B, C]``; returns the gradient of ``L_i`` in them, ``[B, C]``."""
        alpha, next_alpha = next(self._alphas)
        log_belief = torch.log_softmax(logits, 1)
        belief = log_belief.exp()
        target = target_belief(self._label_belief, self.belief, alpha)
        # log p_i has the weight -t_i in L_i, and (1 - alpha) p_i in the entropy that L_{i + 1} starts from.
        weight = torch.sub(target, belief, alpha=1 - next_alpha)
        self._total.sub_(torch.dot(weight.view(-1), log_belief.view(-1)))
        self.belief = belief
        return logit_gradient(belief, target)

    def advance_all(self, logits: Tensor, beliefs: Tensor) -> Tensor:
        """Moves on over ``n`` modules whose beliefs are known, in a few operators for all of them.

        Args:
            logits: of the next ``n`` modules, ``[n, B, C]``.
            beliefs: the one before them and theirs, ``[n + 1, B, C]``.

        Returns:
            The gradient of each module's loss in its logits, ``[n, B, C]``.
        """
        alphas = list(islice(self._alphas, len(logits)))
        share, next_share = logits.new_tensor(alphas).view(len(logits), 2, 1, 1).unbind(1)
        target = target_belief(self._label_belief, beliefs[:-1], share)
        gradient = logit_gradient(beliefs[1:], target)  # [n, B, C]
        weight = target.sub_((1 - next_share) * beliefs[1:])
        self._total.sub_(torch.dot(weight.view(-1), torch.log_softmax(logits, 2).view(-1)))
        self.belief = beliefs[-1]
        return gradient
