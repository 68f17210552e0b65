"""The SID step as the paper writes it: slow and clear, the oracle that every other step is tested against."""

import torch
from torch import Tensor

from sid_core.network import Cascade
from sid_core.objective import (
    DEFAULT_SMOOTHING,
    Alpha,
    Direction,
    Reduction,
    alpha_per_module,
    check_objective,
    local_loss,
)


def published_step(
    network: Cascade,
    images: Tensor,
    labels: Tensor,
    alpha: Alpha,
    *,
    direction: Direction = "forward",
    smoothing: float = DEFAULT_SMOOTHING,
    reduction: Reduction = "sum",
) -> Tensor:
    """One SID step with a teacher pass (arXiv 2510.03273, algorithm 1): accumulates gradients into ``.grad``.

    First a full pass without gradients computes every belief, then all modules' losses are built in one graph and one
    backward pass runs through it. It holds the activations of all L modules and does a second forward pass over the
    modules. Like ``Tensor.backward`` it adds to gradients that are already there.

    Args:
        network: the cascade; its training mode is left as it is.
        images: ``[B, ...]``, what the trunk takes.
        labels: ``[B]``, int64 in [0, C).
        alpha: the weight of the label, in (0, 1], a number or one a module.
        direction: of the local objective, ``forward`` or ``reverse``; see :mod:`sid_core.objective`.
        smoothing: of the label, in (0, 1); read in ``reverse`` only.
        reduction: the loss is the ``sum`` of the local losses, or their ``mean``.

    Returns:
        The loss of the step: the local losses summed (or averaged) over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``alpha`` or a choice of the objective is not legal, or there is not one label an image.
    """
    alphas = alpha_per_module(alpha, len(network.local_modules))
    check_objective(direction, smoothing, reduction)
    with torch.enable_grad():
        features = network.trunk(images)
        with torch.no_grad():
            beliefs = [network.initial_belief(features)]
            log_beliefs: list[Tensor | None] = [None]
            for module in network.local_modules:
                logits = module(beliefs[-1], features)
                beliefs.append(logits.softmax(dim=1))
                log_beliefs.append(logits.log_softmax(dim=1) if direction == "reverse" else None)
                del logits
        loss: Tensor = features.new_zeros(())
        teachers = zip(beliefs, log_beliefs, strict=True)
        for module, (belief, log_belief), weight in zip(network.local_modules, teachers, alphas, strict=False):
            loss = loss + local_loss(
                module(belief, features), labels, belief, weight, direction, smoothing, previous_log_belief=log_belief
            )
        if reduction == "mean":
            loss = loss / len(alphas)
        loss.backward()
    return loss.detach()
