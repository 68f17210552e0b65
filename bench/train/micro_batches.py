"""A batch in parts: any rule, with the gradients of the whole batch and the activations of one part at a time."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sid_core import BeliefNetwork, Objective

_Rule = Callable[[BeliefNetwork, Tensor, Tensor, Objective | None], Tensor]


def in_micro_batches(rule: _Rule, parts: int) -> _Rule:
    """``rule`` on ``parts`` parts of a batch, one after the other.

    A rule's loss is a mean over its samples, so the batch's gradient is the mean of the parts' gradients, each with the
    weight of its samples. Gradients must be zero or None before: they are scaled in place. They are those of the whole
    batch up to rounding. BatchNorm is the exception: it sees one part at a time.

    Args:
        rule: ``(network, images, labels, objective) -> loss``; adds to ``.grad``.
        parts: 1 or more; sizes differ by one sample at most, and a batch of fewer samples goes through one by one.
    """
    return partial(_run, rule, parts)


def _run(
    rule: _Rule, parts: int, network: BeliefNetwork, images: Tensor, labels: Tensor, objective: Objective | None
) -> Tensor:
    count = min(parts, len(labels))
    total: Tensor | None = None
    before = 0  # samples of the part that the gradients so far have the scale of
    for some_images, some_labels in zip(images.tensor_split(count), labels.tensor_split(count), strict=True):
        size = len(some_labels)
        if before not in (0, size):
            _scale_gradients(network, before / size)
        before = size
        loss = rule(network, some_images, some_labels, objective) * (size / len(labels))
        total = loss if total is None else total.add_(loss)
    _scale_gradients(network, before / len(labels))
    assert total is not None  # noqa: S101 (there is one part at least)
    return total


@torch.no_grad()
def _scale_gradients(network: BeliefNetwork, factor: float) -> None:
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    if gradients and factor != 1:
        torch._foreach_mul_(gradients, factor)
