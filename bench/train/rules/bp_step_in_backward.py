"""Backpropagation that updates each parameter in the backward pass, as soon as its gradient is complete."""

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from sid_core import BeliefNetwork
from sid_core.phases import phase


def train_with_step_in_backward(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object, *, optimizers: Sequence[Optimizer]
) -> Tensor:
    """One BP step that holds the gradient of one parameter at a time.

    The weights are those of an update at the end: autograd completes the gradient of a parameter after everything in
    the backward pass that reads the parameter.

    Args:
        network: its parameters have no gradients afterwards.
        images: ``[B, ...]``.
        labels: ``[B]``.
        optimizers: one for each of ``network.parameters()``, in that order.
    """
    hooks = []
    for parameter, optimizer in zip(network.parameters(), optimizers, strict=True):
        parameter.grad = None
        if parameter.requires_grad:
            hooks.append(parameter.register_post_accumulate_grad_hook(partial(_update, optimizer)))
    try:
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
    finally:
        for hook in hooks:
            hook.remove()
    return loss.detach()


def _update(optimizer: Optimizer, parameter: Tensor) -> None:
    with phase("optimizer"):
        optimizer.step()
        parameter.grad = None
