"""Backpropagation: the cross-entropy of the last module's logits, end to end."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork

SUMMARY = "backpropagation, end to end: the baseline"
USES_ALPHA = False


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step; see :mod:`bench.config.methods`."""
    import torch.nn.functional as F

    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.detach()
