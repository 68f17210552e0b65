"""Beliefs, the local objective of one module, and its closed-form gradient in the logits.

The letters are the paper's: ``B`` batch size, ``C`` classes, ``L`` modules, ``p_y`` the label, ``p_i`` the belief of
module ``i``, ``p_0`` the uniform belief, ``sg`` stop-gradient. The objective (arXiv 2510.03273), averaged over the
batch, has two directions. The authors' code computes ``forward``, and the text of the paper says ``reverse``::

    L_i = alpha * KL(p_y || p_i) + (1 - alpha) * KL(sg(p_{i-1}) || p_i)        forward, p_y one-hot
    L_i = alpha * KL(p_i || p_y) + (1 - alpha) * KL(p_i || sg(p_{i-1}))        reverse, p_y smoothed

``reverse`` is infinite for a one-hot label, so its label is ``p_y = (1 - smoothing) * onehot + smoothing / C``. The
loss of a step is the sum of the local losses, or their mean.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, TypedDict, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Alpha = float | Sequence[float] | Tensor
Direction = Literal["forward", "reverse"]
Reduction = Literal["sum", "mean"]
DEFAULT_SMOOTHING = 0.1


@dataclass(frozen=True)
class Objective:
    """The objective of a step, checked when it is built. Hashable if ``alpha`` is a number or a tuple.

    Attributes:
        alpha: the weight of the label, in (0, 1]: one number for all modules, or one number per module, first to last
            (a sequence or a tensor).
        direction: of the local objective: ``forward`` or ``reverse``.
        smoothing: of the label, in (0, 1); used in direction ``reverse`` only.
        reduction: the loss of a step is the ``sum`` of the local losses, or their ``mean``.

    Raises:
        ValueError: a field does not have a legal value.
    """

    alpha: Alpha
    direction: Direction = "forward"
    smoothing: float = DEFAULT_SMOOTHING
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        _checked_alphas(self.alpha)
        _check_name("direction", self.direction, get_args(Direction))
        _check_smoothing(self.smoothing)
        _check_name("reduction", self.reduction, get_args(Reduction))

    def alphas(self, modules: int) -> tuple[float, ...]:
        """``alpha`` as one number per module; see :func:`alpha_per_module`."""
        return alpha_per_module(self.alpha, modules)

    def divisor(self, modules: int) -> int:
        """The number that the sum of the local losses of ``modules`` modules is divided by."""
        return modules if self.reduction == "mean" else 1


class ObjectiveOptions(TypedDict, total=False):
    """The fields of an :class:`Objective` as keywords of a step."""

    alpha: Alpha
    direction: Direction
    smoothing: float
    reduction: Reduction


def objective_of(objective: Objective | Alpha | None, options: ObjectiveOptions, modules: int) -> Objective:
    """Returns the objective that the arguments of a step describe.

    Args:
        objective: an :class:`Objective`, or alpha; None if alpha is one of ``options``.
        options: the remaining fields; none where ``objective`` is an :class:`Objective`.
        modules: L, the number of modules that alpha must fit.

    Raises:
        TypeError: alpha is missing or is given twice, or ``options`` has a key that is not a field.
        ValueError: a field does not have a legal value, or stands next to an :class:`Objective`.
    """
    if not isinstance(objective, Objective):
        # Python itself refuses a second alpha, and a keyword that is not a field.
        objective = Objective(**options) if objective is None else Objective(objective, **options)  # type: ignore[misc]
    elif options:
        field, value = next(iter(options.items()))
        raise ValueError(
            f"{field} = {value!r} next to an Objective; legal: an Objective alone, or alpha with direction, smoothing "
            "and reduction"
        )
    objective.alphas(modules)  # checks how many there are
    return objective


def alpha_per_module(alpha: Alpha, modules: int) -> tuple[float, ...]:
    """Checks ``alpha`` and returns it as one number per module.

    Args:
        alpha: the weight of the label, in (0, 1]: one number for all modules, or ``modules`` numbers in the order of
            the modules (a sequence, or a tensor with ``modules`` entries).
        modules: L, the number of modules.

    Raises:
        ValueError: ``alpha`` has the wrong length, is not a number, or lies outside (0, 1].
    """
    checked = _checked_alphas(alpha)
    if isinstance(checked, float):
        return (checked,) * modules
    if len(checked) != modules:
        raise ValueError(
            f"alpha has {len(checked)} values; legal: one number, or one for each of the {modules} modules"
        )
    return checked


def _checked_alphas(alpha: object) -> float | tuple[float, ...]:
    if hasattr(alpha, "tolist"):  # a tensor, or an array
        alpha = alpha.tolist()
    return tuple(map(_checked_alpha, alpha)) if isinstance(alpha, Iterable) else _checked_alpha(alpha)


def _checked_alpha(value: object) -> float:
    # The comparison is written so that NaN fails it.
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise ValueError(f"alpha = {value!r}; legal: numbers in (0, 1]")
    return float(value)


def _check_smoothing(smoothing: object) -> None:
    if isinstance(smoothing, bool) or not isinstance(smoothing, Real) or not 0 < float(smoothing) < 1:
        raise ValueError(f"smoothing = {smoothing!r}; legal: numbers in (0, 1)")


def _check_name(field: str, value: object, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ValueError(f"{field} = {value!r}; legal: {', '.join(legal)}")


def uniform_belief(features: Tensor, classes: int) -> Tensor:
    """``p_0``: probability 1/C everywhere, ``[B, C]``, on the device of ``features`` ``[B, ...]``."""
    return features.new_full((features.shape[0], classes), 1 / classes, dtype=belief_dtype(features))


def belief_dtype(like: Tensor) -> torch.dtype:
    """The dtype of beliefs, losses and gradients in logits, for a network whose output is ``like``.

    Under autocast it is float32, even if autocast has chosen a narrower type for ``like``: gradients are differences of
    probabilities, and the eight bits of bfloat16 are too few for these. Elsewhere it is the type of ``like``, since the
    layers of a network with narrow parameters take no other.
    """
    is_narrow = like.dtype in (torch.bfloat16, torch.float16)
    return torch.float32 if is_narrow and torch.is_autocast_enabled(like.device.type) else like.dtype


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    """``p_y``: the labels ``[B]`` (int64) as one-hot rows ``[B, C]`` with the shape, dtype and device of ``like``.

    Raises:
        ValueError: there is not one int64 label per row.
    """
    check_labels(labels, like)
    return torch.zeros_like(like).scatter_(1, labels.unsqueeze(1), 1)


def log_smoothed_label(labels: Tensor, like: Tensor, smoothing: float) -> Tensor:
    """``log((1 - smoothing) * onehot + smoothing / C)`` for ``labels`` ``[B]``, with shape and dtype of ``like``.

    The two logarithms are computed from Python's numbers, so that they are finite in every dtype.

    Raises:
        ValueError: there is not one int64 label per row.
    """
    check_labels(labels, like)
    classes = like.shape[1]
    elsewhere = math.log(smoothing) - math.log(classes)
    at_label = math.log1p(-smoothing * (classes - 1) / classes)
    return torch.full_like(like, elsewhere).scatter_(1, labels.unsqueeze(1), at_label)


def check_batch(images: Tensor, labels: Tensor) -> None:
    """Checks that a batch has images, and one label per image.

    Raises:
        ValueError: ``labels`` is not int64 of shape ``[B]``, or B is 0.
    """
    if len(images) == 0:
        raise ValueError("images has 0 samples; legal: 1 or more")
    check_labels(labels, images)


def check_labels(labels: Tensor, like: Tensor) -> None:
    """Checks that there is one int64 label per row of ``like``.

    Raises:
        ValueError: there is not.
    """
    if labels.shape != like.shape[:1]:
        raise ValueError(f"labels have shape {list(labels.shape)}; legal: [{like.shape[0]}], one label per image")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels have dtype {labels.dtype}; legal: torch.int64")


def target_belief(label_belief: Tensor, previous_belief: Tensor, alpha: float | Tensor) -> Tensor:
    """``t_i = alpha * p_y + (1 - alpha) * p_{i-1}``, ``[B, C]``: the belief that minimises the local objective."""
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
    """``L_i`` as in the paper, differentiable in ``logits``.

    Args:
        logits: ``[B, C]``, the output of module ``i``.
        labels: ``[B]``, int64.
        previous_belief: ``p_{i-1}``, ``[B, C]``; treated as a constant.
        alpha: the weight of the label, in (0, 1].
        direction: ``forward`` or ``reverse``.
        smoothing: of the label, in (0, 1); used in ``reverse`` only.
        previous_log_belief: ``log p_{i-1}``, ``[B, C]``, for ``reverse``; by default the logarithm of
            ``previous_belief``, which is infinite where ``previous_belief`` has underflowed.

    Returns:
        The loss in nats, averaged over the batch: a tensor of shape ``[]``.

    Raises:
        ValueError: ``direction`` or ``smoothing`` is not legal.
    """
    _check_name("direction", direction, get_args(Direction))
    _check_smoothing(smoothing)
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

    ``L_i`` is the cross-entropy of the constant target ``t_i`` plus a term that does not depend on the logits, so no
    graph of the loss is needed: ``logits_i.backward(gradient=logit_gradient(p_i, t_i))``.
    """
    # Multiplying by a number is four times faster than dividing by it.
    return (belief - target).mul_(1 / (belief.shape[-2] * parts))


def reverse_divergence_and_gradient(
    log_belief: Tensor, belief: Tensor, log_anchor: Tensor, parts: int = 1
) -> tuple[Tensor, Tensor]:
    """``L_i`` of each row in direction ``reverse``, and the gradient of ``L_i / parts`` in ``logits_i``.

    With ``s = log p_i - alpha * log p_y - (1 - alpha) * log p_{i-1}``, the loss of a row is ``<p_i, s>``, and
    ``dL/dp_i = s + 1``. Through the softmax, ``dL/dlogits = p_i * (s + 1 - <p_i, s + 1>) = p_i * (s - <p_i, s>)``.

    Args:
        log_belief: ``log p_i``, ``[..., B, C]``.
        belief: ``p_i``, ``[..., B, C]``.
        log_anchor: ``alpha * log p_y + (1 - alpha) * log p_{i-1}``, ``[..., B, C]``; its softmax minimises ``L_i``.
        parts: what the gradient is divided by, besides the batch size.

    Returns:
        The losses ``[..., B, 1]``, in nats, and the gradient ``[..., B, C]``, averaged over the batch.
    """
    slope = log_belief - log_anchor
    divergence = (belief * slope).sum(dim=-1, keepdim=True)
    return divergence, slope.sub_(divergence).mul_(belief).mul_(1 / (belief.shape[-2] * parts))
