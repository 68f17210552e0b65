"""The SID step as in the paper: slow and clear, the reference that every other step is tested against."""

from typing import Unpack

import torch
from torch import Tensor

from sid_core.network import BeliefNetwork
from sid_core.objective import (
    Alpha,
    Direction,
    Objective,
    ObjectiveOptions,
    check_batch,
    local_loss,
    objective_of,
)


def published_step(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """One SID step with a teacher pass (arXiv 2510.03273, algorithm 1): accumulates gradients into ``.grad``.

    First a pass without gradients computes every belief. Then the losses of all modules are built in one graph, and one
    backward pass runs through it. So the step holds the activations of all modules and runs them forward twice; in a
    pipeline that is the whole backbone, and BatchNorm in a stage updates its running statistics twice. Like
    ``Tensor.backward`` the step adds to gradients that are already there.

    Args:
        network: a cascade or a pipeline; its training mode does not change.
        images: the input of the trunk, ``[B, ...]``.
        labels: ``[B]``, int64 in [0, C).
        objective: the objective, or alpha: one number, or one per module.
        **options: the other fields of :class:`sid_core.Objective` as keywords, where ``objective`` is not one; alpha
            may be a keyword, too.

    Returns:
        The loss of the step: the sum (or mean) of the local losses, in nats, shape ``[]``, detached.

    Raises:
        ValueError: the objective is not legal, there is no image, or there is not one int64 label per image.
    """
    modules = len(network.local_modules)
    objective = objective_of(objective, options, modules)
    check_batch(images, labels)
    with torch.enable_grad():
        features = network.trunk(images)
        beliefs, log_beliefs = _teacher_beliefs(network, features, objective.direction)
        loss: Tensor = features.new_zeros(())
        teachers = zip(beliefs, log_beliefs, strict=True)
        alphas = objective.alphas(modules)
        for module, (belief, log_belief), alpha in zip(network.local_modules, teachers, alphas, strict=False):
            logits, features = network.run_module(module, belief, features)
            features = network.hand_on(features)
            loss = loss + local_loss(
                logits,
                labels,
                belief,
                alpha,
                objective.direction,
                objective.smoothing,
                previous_log_belief=log_belief,
            )
            del logits
        if objective.reduction == "mean":
            loss = loss / modules
        if loss.requires_grad:
            loss.backward()
    return loss.detach()


@torch.no_grad()
def _teacher_beliefs(
    network: BeliefNetwork, features: Tensor, direction: Direction
) -> tuple[list[Tensor], list[Tensor | None]]:
    """``p_0`` to ``p_L`` from a separate pass over the modules, and their logarithms where ``direction`` needs them."""
    beliefs = [network.initial_belief(features)]
    log_beliefs: list[Tensor | None] = [None]
    for module in network.local_modules:
        logits, features = network.run_module(module, beliefs[-1], features)
        beliefs.append(logits.softmax(dim=1))
        log_beliefs.append(logits.log_softmax(dim=1) if direction == "reverse" else None)
        del logits
    return beliefs, log_beliefs
