"""The beliefs of one step, first module to last, with the loss and the gradients that they give.

``forward`` and ``reverse`` are the directions of :mod:`sid_core.objective`. Every step but ``published`` walks a chain.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor

from sid_core.objective import (
    Objective,
    log_smoothed_label,
    logit_gradient,
    one_hot,
    reverse_divergence_and_gradient,
    target_belief,
)


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
    objective: Objective,
    modules: int,
    *,
    own: slice = slice(None),
    initial_log_belief: Tensor | None = None,
) -> BeliefChain:
    """The chain of one step, over all modules of a network or over a part of them.

    The losses of the chains over all parts of a network add up to the loss of the step.

    Args:
        initial_belief: the belief before the first module of the chain, ``[B, C]``.
        labels: ``[B]``, int64 in [0, C).
        objective: of the step.
        modules: L, the number of modules of the whole network.
        own: the modules of the chain; by default all.
        initial_log_belief: the logarithm of ``initial_belief``, ``[B, C]``; None: it is computed where it is needed.

    Raises:
        ValueError: alpha does not fit ``modules``, or there is not one int64 label per image.
    """
    alphas, parts = objective.alphas(modules)[own], objective.divisor(modules)
    if objective.direction == "reverse":
        return ReverseBeliefChain(initial_belief, labels, alphas, objective.smoothing, parts, initial_log_belief)
    return BeliefChain(initial_belief, labels, alphas, parts)
