"""The beliefs of one step, first module to last, with the loss of the step and its gradient in each module's logits.

Every step but ``published`` uses a chain. The directions ``forward`` and ``reverse`` are those of
:mod:`sid_core.objective`.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor

from sid_core.objective import (
    Objective,
    check_labels,
    log_smoothed_label,
    logit_gradient,
    one_hot,
    reverse_divergence_and_gradient,
    target_belief,
)


class BeliefChain:
    """The beliefs of one step in direction ``forward``. Call it with gradients disabled.

    The loss needs one sum of products per module, because it can be grouped by ``log p_i``. With
    ``t_i = alpha_i p_y + (1 - alpha_i) p_{i-1}``, the local objective is, in each row of the batch::

        L_i = alpha_i KL(p_y || p_i) + (1 - alpha_i) KL(p_{i-1} || p_i)
            = (1 - alpha_i) <p_{i-1}, log p_{i-1}> - <t_i, log p_i>

    since a one-hot ``p_y`` has no entropy. ``log p_i`` occurs in ``L_i`` and, where it is the belief before the next
    module, in ``L_{i+1}``. So the sum over modules is, with ``alpha_{L+1} = 1``::

        (1 - alpha_1) <p_0, log p_0>  -  sum over i of <t_i - (1 - alpha_{i+1}) p_i, log p_i>

    The constructor adds the first term, and :meth:`advance` one term of the sum. It computes the term from the gradient
    ``p_i - t_i``, which it needs anyway, as ``<(p_i - t_i) - alpha_{i+1} p_i, log p_i>``, and leaves the sum over
    samples and classes to the end.

    Args:
        initial_belief: ``p_0``, ``[B, C]``.
        labels: ``[B]``, int64 in [0, C).
        alphas: one number in (0, 1] per module.
        parts: what the loss and the gradients are divided by, besides the batch size.
        carried: where this chain goes on from another one: what that has added up, see :attr:`terms`. It is changed.
        next_alpha: the weight of the module after the last one of the chain, where another chain goes on from this one.

    Attributes:
        belief: the belief after the modules so far, ``[B, C]``.

    Raises:
        ValueError: there is not one int64 label per image.
    """

    def __init__(
        self,
        initial_belief: Tensor,
        labels: Tensor,
        alphas: Sequence[float],
        parts: int = 1,
        *,
        carried: Tensor | None = None,
        next_alpha: float = 1.0,
    ) -> None:
        self.belief = initial_belief
        check_labels(labels, initial_belief)
        self._parts = parts
        self._labels = labels.unsqueeze(1)
        self._label_belief: Tensor | None = None
        self._weight: tuple[float, Tensor] | None = None
        self._alphas = pairwise((*alphas, next_alpha))  # alpha_i with alpha_{i+1}
        if carried is None:
            carried = torch.special.entr(initial_belief).mul_(alphas[0] - 1)  # entr(p) is -p log p
        self._terms = carried

    @property
    def terms(self) -> Tensor:
        """What has been added up of the loss so far: ``[B, C]``, and in direction ``reverse`` ``[]``."""
        return self._terms

    @property
    def loss(self) -> Tensor:
        """The sum of the local losses, divided by ``parts``: nats, shape ``[]``; complete after the last module."""
        total: Tensor = self._terms.sum() / (self.belief.shape[0] * self._parts)
        return total

    def advance(self, logits: Tensor) -> Tensor:
        """Moves on to ``p_i``, the softmax of ``logits_i``; returns the gradient of the loss in them. Both ``[B, C]``.

        Adds ``<(p_i - t_i) - alpha_{i+1} p_i, log p_i>`` to the loss; see the class. Few operators matter here: those
        of a small module take little more time.
        """
        alpha, next_alpha = next(self._alphas)
        log_belief = torch.log_softmax(logits, 1)
        belief = log_belief.exp()
        gradient = torch.sub(belief, self.belief, alpha=1 - alpha)
        gradient.scatter_add_(1, self._labels, self._minus(alpha))  # p_i - t_i
        self._terms.addcmul_(gradient, log_belief).addcmul_(belief, log_belief, value=-next_alpha)
        self.belief = belief
        return gradient.mul_(1 / (len(belief) * self._parts))

    def _minus(self, alpha: float) -> Tensor:
        """``-alpha`` as a column, ``[B, 1]``, in the memory of one number; built again where alpha changes."""
        if self._weight is None or self._weight[0] != alpha:
            self._weight = alpha, self.belief.new_full((1, 1), -alpha).expand_as(self._labels)
        return self._weight[1]

    def advance_all(self, logits: Tensor, beliefs: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """Moves on over ``n`` modules whose beliefs are known, in a few operators for all of them.

        Adds to the loss what ``n`` calls of :meth:`advance` would add. With ``teacher_logits``, the belief ``q_i`` that
        is the input of the next module is not ``p_i``, the softmax of ``logits``, since a teacher pass has computed it.
        The term of the sum is then ``-<t_i, log p_i> + (1 - alpha_{i+1}) <q_i, log q_i>``, and ``t_i`` has ``q_{i-1}``
        in the place of ``p_{i-1}``.

        Args:
            logits: of the next ``n`` modules, ``[n, B, C]``.
            beliefs: the inputs of these modules and of the next one, ``[n + 1, B, C]``.
            teacher_logits: the logits whose softmax is ``beliefs[1:]``, ``[n, B, C]``, if these are not ``logits``:
                modules that draw random numbers give other logits in a second pass.

        Returns:
            The gradient of each module's loss in its logits, ``[n, B, C]``.
        """
        if self._label_belief is None:
            self._label_belief = one_hot(self._labels.squeeze(1), self.belief)
            self._terms = self._terms.sum()
        alphas = list(islice(self._alphas, len(logits)))
        alpha, next_alpha = _numbers(alphas, logits).view(len(logits), 2, 1, 1).unbind(1)
        target = target_belief(self._label_belief, beliefs[:-1], alpha)
        own = beliefs[1:] if teacher_logits is None else logits.softmax(2)
        gradient = logit_gradient(own, target, self._parts)
        entropy_weight = (1 - next_alpha) * beliefs[1:]
        if teacher_logits is None:
            target.sub_(entropy_weight)
        else:
            self._terms.add_(_dot(entropy_weight, torch.log_softmax(teacher_logits, 2)))
        del entropy_weight
        self._terms.sub_(_dot(target, torch.log_softmax(logits, 2)))
        self.belief = beliefs[-1]
        return gradient


class ReverseBeliefChain(BeliefChain):
    """The same in direction ``reverse``; see :func:`sid_core.objective.reverse_divergence_and_gradient`.

    It also keeps the logarithm of the belief, which is finite where the belief has underflowed.

    Args:
        initial_belief: as for :class:`BeliefChain`, and so are ``labels``, ``alphas`` and ``parts``.
        labels: ``[B]``.
        alphas: one number per module.
        smoothing: of the label, in (0, 1).
        parts: 1 or more.
        initial_log_belief: ``log p_0``, ``[B, C]``; None: the logarithm of ``initial_belief``.
        carried: as for :class:`BeliefChain`.

    Raises:
        ValueError: there is not one int64 label per image.
    """

    def __init__(
        self,
        initial_belief: Tensor,
        labels: Tensor,
        alphas: Sequence[float],
        smoothing: float,
        parts: int = 1,
        initial_log_belief: Tensor | None = None,
        carried: Tensor | None = None,
    ) -> None:
        self.belief = initial_belief
        self._parts = parts
        self._log_belief = initial_belief.log() if initial_log_belief is None else initial_log_belief
        self._log_label = log_smoothed_label(labels, initial_belief, smoothing)
        self._reverse_alphas: Iterator[float] = iter(alphas)
        self._terms = initial_belief.new_zeros(()) if carried is None else carried

    def advance(self, logits: Tensor) -> Tensor:
        """As :meth:`BeliefChain.advance`."""
        log_belief = torch.log_softmax(logits, 1)
        belief = log_belief.exp()
        log_anchor = torch.lerp(self._log_belief, self._log_label, next(self._reverse_alphas))
        divergence, gradient = reverse_divergence_and_gradient(log_belief, belief, log_anchor, self._parts)
        self._terms.add_(divergence.sum())
        self.belief, self._log_belief = belief, log_belief
        return gradient

    def advance_all(self, logits: Tensor, beliefs: Tensor, teacher_logits: Tensor | None = None) -> Tensor:
        """As :meth:`BeliefChain.advance_all`."""
        log_own = torch.log_softmax(logits, 2)
        log_beliefs = log_own if teacher_logits is None else torch.log_softmax(teacher_logits, 2)
        own = beliefs[1:] if teacher_logits is None else log_own.exp()
        alpha = _numbers(list(islice(self._reverse_alphas, len(logits))), logits).view(-1, 1, 1)
        before = torch.cat((self._log_belief.unsqueeze(0), log_beliefs[:-1]))
        log_anchors = torch.lerp(before, self._log_label, alpha)
        divergence, gradient = reverse_divergence_and_gradient(log_own, own, log_anchors, self._parts)
        self._terms.add_(divergence.sum())
        self.belief, self._log_belief = beliefs[-1], log_beliefs[-1]
        return gradient


def belief_chain(
    initial_belief: Tensor,
    labels: Tensor,
    objective: Objective,
    modules: int,
    *,
    own: slice = slice(None),
    initial_log_belief: Tensor | None = None,
    carried: Tensor | None = None,
    is_carried_on: bool = False,
) -> BeliefChain:
    """Returns the chain of one step, over all modules of a network or over a part of them.

    The losses of the chains over all parts of a network add up to the loss of the step. If each chain instead goes on
    from the terms of the one before, the loss of the last one is that of the step, to the last bit.

    Args:
        initial_belief: the belief before the first module of the chain, ``[B, C]``.
        labels: ``[B]``, int64 in [0, C).
        objective: of the step.
        modules: L, the number of modules of the whole network.
        own: the modules of the chain; by default all.
        initial_log_belief: the logarithm of ``initial_belief``, ``[B, C]``; None: it is computed where it is needed.
        carried: the terms of the chain over the modules before, from which this one goes on; None: it begins anew.
        is_carried_on: the chain over the next modules goes on from the terms of this one.

    Raises:
        ValueError: alpha does not fit ``modules``, or there is not one int64 label per image.
    """
    alphas, parts = objective.alphas(modules), objective.divisor(modules)
    if objective.direction == "reverse":
        return ReverseBeliefChain(
            initial_belief, labels, alphas[own], objective.smoothing, parts, initial_log_belief, carried
        )
    next_alpha = (*alphas, 1.0)[own.indices(modules)[1]] if is_carried_on else 1.0
    return BeliefChain(initial_belief, labels, alphas[own], parts, carried=carried, next_alpha=next_alpha)


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """The scalar product of two contiguous tensors of one shape, ``[]``."""
    return torch.dot(one.view(-1), other.view(-1))


def _numbers(values: Sequence[object], like: Tensor) -> Tensor:
    """``values`` as a tensor with the dtype and the device of ``like``.

    Unlike ``new_tensor`` it does the same for tensors without contents, in every version of PyTorch.
    """
    return torch.tensor(values, dtype=like.dtype).to(like.device)
