"""Backpropagation in micro-batches: a quarter of the batch, and of its activations, at a time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork

SUMMARY = "backpropagation in four micro-batches whose gradients add up to the batch's"
USES_ALPHA = False

_MICRO_BATCHES = 4


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step on the mean over the whole batch; see :mod:`bench.methods`.

    The gradients are BP's but for rounding. BatchNorm is the exception: it sees a micro-batch at a time.
    """
    import torch
    import torch.nn.functional as F

    total = torch.zeros((), dtype=images.dtype, device=images.device)
    for some_images, some_labels in zip(images.chunk(_MICRO_BATCHES), labels.chunk(_MICRO_BATCHES), strict=True):
        loss = F.cross_entropy(network(some_images), some_labels, reduction="sum") / len(labels)
        loss.backward()
        total += loss.detach()
    return total
