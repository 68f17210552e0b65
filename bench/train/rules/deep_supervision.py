"""Deep supervision: a cross-entropy at every module, with gradients flowing end to end."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork

SUMMARY = "cross-entropy at every module, end to end (Lee et al., arXiv 1409.5185): a control for label noise"
USES_ALPHA = False


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One step on the sum of all modules' cross-entropies; see :mod:`bench.config.methods`."""
    import torch
    import torch.nn.functional as F

    losses = [F.cross_entropy(logits, labels) for logits in network.logits_by_module(images)]
    loss = torch.stack(losses).sum()
    loss.backward()
    return loss.detach()
