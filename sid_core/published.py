"""The SID step as the paper writes it: slow and clear, the oracle that every other step is tested against."""

import torch
from torch import Tensor

from sid_core.network import BeliefNetwork
from sid_core.objective import Alpha, alpha_per_module, local_loss


def published_step(network: BeliefNetwork, images: Tensor, labels: Tensor, alpha: Alpha) -> Tensor:
    """One SID step with a teacher pass (arXiv 2510.03273, algorithm 1): accumulates gradients into ``.grad``.

    First a full pass without gradients computes every belief, then all modules' losses are built in one graph and one
    backward pass runs through it. It holds the activations of all L modules and does a second forward pass over the
    modules, which in a pipeline are the whole backbone: BatchNorm in a stage then updates its running statistics twice.
    Like ``Tensor.backward`` it adds to gradients that are already there.

    Args:
        network: a cascade or a pipeline; its training mode is left as it is.
        images: ``[B, ...]``, what the trunk takes.
        labels: ``[B]``, int64 in [0, C).
        alpha: the weight of the label, in (0, 1], a number or one a module.

    Returns:
        The loss of the step: the local losses summed over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``alpha`` is not legal, or there is not one label an image.
    """
    alphas = alpha_per_module(alpha, len(network.local_modules))
    with torch.enable_grad():
        features = network.trunk(images)
        beliefs = _teacher_beliefs(network, features)
        loss: Tensor = features.new_zeros(())
        for module, previous_belief, weight in zip(network.local_modules, beliefs, alphas, strict=False):
            logits, features = network.run_module(module, previous_belief, features)
            features = network.hand_on(features)
            loss = loss + local_loss(logits, labels, previous_belief, weight)
            del logits
        loss.backward()
    return loss.detach()


@torch.no_grad()
def _teacher_beliefs(network: BeliefNetwork, features: Tensor) -> list[Tensor]:
    """``p_0`` to ``p_L`` by a pass of its own over the modules."""
    beliefs = [network.initial_belief(features)]
    for module in network.local_modules:
        logits, features = network.run_module(module, beliefs[-1], features)
        beliefs.append(logits.softmax(dim=1))
        del logits
    return beliefs
