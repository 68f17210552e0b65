"""Backpropagation end to end: the baseline, and two controls for gains under label noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sid_core import BeliefNetwork, Objective


def train_end_to_end(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
    """The cross-entropy of the last module's logits."""
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.detach()


def train_on_smoothed_labels(network: BeliefNetwork, images: Tensor, labels: Tensor, objective: Objective) -> Tensor:
    """The same with label smoothing ``1 - alpha`` (Szegedy et al., arXiv 1512.00567): what SID with one module is."""
    (alpha,) = objective.alphas(1)
    loss = F.cross_entropy(network(images), labels, label_smoothing=1 - alpha)
    loss.backward()
    return loss.detach()


def train_on_every_module(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
    """The sum of all modules' cross-entropies, with gradients end to end (Lee et al., arXiv 1409.5185)."""
    loss = torch.stack([F.cross_entropy(logits, labels) for logits in network.logits_by_module(images)]).sum()
    loss.backward()
    return loss.detach()
