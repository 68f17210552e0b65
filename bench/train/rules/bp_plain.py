"""Backpropagation through a backbone with its one usual head: no beliefs, no heads along the way."""

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from sid_core import BeliefNetwork
from sid_core.objective import belief_dtype
from sid_core.phases import enter, enter_backward_at


def train_last_head(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
    """One BP step through the stages and the last head.

    The last head gets ``p_0`` as its belief, which is constant: it is the classifier that the backbone usually has. The
    other heads are in the network, so that all methods start from the same weights. They are not run, have no gradients
    and no optimizer state, and count as parameters only.
    """
    loss = F.cross_entropy(_prediction(network, images), labels)
    loss.backward()
    return loss.detach()


def logits_by_module(network: BeliefNetwork, images: Tensor) -> Iterator[Tensor | None]:
    """The last module's logits, ``[B, C]``; None for each module before it, whose head is not trained."""
    yield from [None] * (len(network.local_modules) - 1)
    yield _prediction(network, images)


def _prediction(network: BeliefNetwork, images: Tensor) -> Tensor:
    *_, last = network.local_modules
    features = images
    for number, module in enumerate(network.local_modules, 1):
        enter("forward", number)
        features = module.stage(features)  # type: ignore[operator]
        enter_backward_at(features, number)
    logits: Tensor = last.run_head(network.initial_belief(features), features)  # type: ignore[operator]
    return logits.to(belief_dtype(logits))
