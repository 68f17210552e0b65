"""Backpropagation whose forward and backward pass are compiled as one graph each, under a budget of activations."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core import BeliefNetwork


def train_within_budget(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object, *, activation_memory_budget: float
) -> Tensor:
    """One BP step of the whole network, compiled, so that the compiler sees all that the backward pass needs.

    The gradients are those of BP. The network is not changed: BP beside it runs uncompiled.

    Args:
        network: it and its loss are compiled as one graph, or an error is raised.
        images: ``[B, ...]``.
        labels: ``[B]``.
        activation_memory_budget: of ``torch._functorch.config``: 1 holds what the compiler holds by default, 0 only
            what goes into the network, and between them it recomputes what is cheapest.
    """
    loss: Tensor = _compiled(activation_memory_budget)(network, images, labels)
    loss.backward()
    return loss.detach()


def _loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    return F.cross_entropy(network(images), labels)


@cache
def _compiled(budget: float) -> Callable[..., Tensor]:
    """The loss, compiled; each budget has a backend of its own, so none runs what was compiled for another."""
    from torch._dynamo import lookup_backend
    from torch._functorch import config

    inductor = lookup_backend("inductor")

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Any:
        with config.patch(activation_memory_budget=budget):
            return inductor(graph, inputs)

    return torch.compile(_loss, fullgraph=True, dynamic=False, backend=backend)
