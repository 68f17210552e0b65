"""The SID step as the paper writes it: slow and clear, the oracle that every other step is tested against."""

import torch
from torch import Tensor

from sid_core.network import Cascade
from sid_core.objective import Alpha, alpha_per_module, local_loss


def published_step(network: Cascade, images: Tensor, labels: Tensor, alpha: Alpha) -> Tensor:
    """One SID step with a teacher pass (arXiv 2510.03273, algorithm 1): accumulates gradients into ``.grad``.

    First a full pass without gradients computes every belief, then all modules' losses are built in one graph and one
    backward pass runs through it. It holds the activations of all L modules and does a second forward pass over the
    modules. Like ``Tensor.backward`` it adds to gradients that are already there.

    Args:
        network: the cascade; its training mode is left as it is.
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
        with torch.no_grad():
            beliefs = [network.initial_belief(features)]
            for module in network.local_modules:
                beliefs.append(module(beliefs[-1], features).softmax(dim=1))
        loss: Tensor = features.new_zeros(())
        for module, previous_belief, weight in zip(network.local_modules, beliefs, alphas, strict=False):
            loss = loss + local_loss(module(previous_belief, features), labels, previous_belief, weight)
        loss.backward()
    return loss.detach()
