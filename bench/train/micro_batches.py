"""A batch in parts: any rule, with the gradients of the whole batch and the activations of one part at a time."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bench.train.losses import loss_of_rule
from sid_core import BeliefNetwork, Objective

_Rule = Callable[..., Tensor]


def in_micro_batches(rule: _Rule, parts: int, auxiliary: nn.Module | None = None) -> _Rule:
    """``rule`` on ``parts`` parts of a batch, one after the other.

    A rule's loss is a mean over its samples, so the batch's gradient is the mean of the parts' gradients, each with the
    weight of its samples. Gradients must be zero or None before: they are scaled in place. They are those of the whole
    batch up to rounding. BatchNorm is the exception: it sees one part at a time.

    Args:
        rule: ``(network, images, labels, objective, **keywords) -> loss``; adds to ``.grad``.
        parts: 1 or more; sizes differ by one sample at most, and a batch of fewer samples goes through one by one.
        auxiliary: what the rule trains beside the network.

    Returns:
        A rule whose keywords are tensors ``[B, ...]``, which are cut as the images are.
    """
    return partial(_run, rule, parts, auxiliary)


def _run(
    rule: _Rule,
    parts: int,
    auxiliary: nn.Module | None,
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective | None,
    **of_samples: Tensor,
) -> Tensor:
    count = min(parts, len(labels))
    trained = [*network.parameters(), *(auxiliary.parameters() if auxiliary is not None else ())]
    cut = {name: values.tensor_split(count) for name, values in of_samples.items()}
    total: Tensor | None = None
    before = 0  # samples of the part that the gradients so far have the scale of
    pairs = zip(images.tensor_split(count), labels.tensor_split(count), strict=True)
    for part, (some_images, some_labels) in enumerate(pairs):
        size = len(some_labels)
        if before not in (0, size):
            _scale_gradients(trained, before / size)
        before = size
        own = {name: parts_of[part] for name, parts_of in cut.items()}
        loss = loss_of_rule(rule(network, some_images, some_labels, objective, **own)) * (size / len(labels))
        total = loss if total is None else total.add_(loss)
    _scale_gradients(trained, before / len(labels))
    assert total is not None  # noqa: S101 (there is one part at least)
    return total


@torch.no_grad()
def _scale_gradients(parameters: list[nn.Parameter], factor: float) -> None:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if gradients and factor != 1:
        torch._foreach_mul_(gradients, factor)
