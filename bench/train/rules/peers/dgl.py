"""DGL, decoupled greedy learning (Belilovsky, Eickenberg, Oyallon, arXiv 1901.08164).

Stage ``j`` computes ``x_j = f_j(sg(x_{j-1}))`` and learns from ``L(g_j(x_j), y)`` alone, cross-entropy at its
auxiliary head ``g_j``: the paper's synchronous algorithm 1. All stages learn on each batch, and what a stage hands on
was computed with the weights before its update. The last head is the classifier, and the others are not needed to
predict.

Heads are the axis ``head``: ``mlp-sr``, the paper's main one, if the cell does not say. See
:mod:`bench.train.networks.heads` for how they differ from the authors' code. The authors train with SGD, momentum 0.9
and weight decay 0.0005, and one optimizer a stage, which is the same as one for all.
"""

import torch.nn.functional as F
from torch import Tensor

from bench.train.rules.without_beliefs import train_stages
from sid_core import BeliefNetwork


def train_each_stage(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
    """Cross-entropy at the head of each stage, and no gradient between stages; returns the sum of the losses."""
    return train_stages(network, images, lambda stage: F.cross_entropy(stage.logits, labels))
