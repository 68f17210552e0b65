"""Backpropagation end to end: the baseline, and controls for gains under label noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

from sid_core import BeliefNetwork, Objective
from sid_core.objective import one_hot, target_belief

# The q of generalised cross-entropy with which its paper reports all of its results.
GENERALISED_EXPONENT = 0.7


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


def train_on_bootstrapped_labels(
    network: BeliefNetwork, images: Tensor, labels: Tensor, objective: Objective
) -> Tensor:
    """Soft bootstrapping with ``beta = alpha`` (Reed et al., arXiv 1412.6596).

    The loss is the cross-entropy of the target ``beta * label + (1 - beta) * prediction``, whose label has the weight
    that it has in SID's targets and in label smoothing ``1 - alpha``. Gradients flow through the prediction in the
    target, too: the paper describes the loss as cross-entropy with minimum entropy regularisation. With a constant
    prediction, the gradient in the logits would be ``beta`` times that of cross-entropy, hence another learning rate
    and nothing else.
    """
    (alpha,) = objective.alphas(1)
    logits = network(images)
    prediction = logits.softmax(dim=1)
    loss = F.cross_entropy(logits, target_belief(one_hot(labels, logits), prediction, alpha))
    loss.backward()
    return loss.detach()


def train_on_generalised_cross_entropy(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object
) -> Tensor:
    """Generalised cross-entropy ``(1 - p_y^q) / q`` with ``q`` = 0.7 (Zhang and Sabuncu, arXiv 1805.07836).

    It lies between cross-entropy (``q`` = 0) and the mean absolute error (``q`` = 1). ``p_y`` is the probability of the
    label. The paper's truncated variant, which leaves samples out, is not used.
    """
    divergence = F.cross_entropy(network(images), labels, reduction="none")  # -log p_y
    loss = (-torch.expm1(-GENERALISED_EXPONENT * divergence) / GENERALISED_EXPONENT).mean()
    loss.backward()
    return loss.detach()


def train_on_every_module(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
    """The sum of all modules' cross-entropies, with gradients end to end (Lee et al., arXiv 1409.5185)."""
    loss = torch.stack([F.cross_entropy(logits, labels) for logits in network.logits_by_module(images)]).sum()
    loss.backward()
    return loss.detach()
