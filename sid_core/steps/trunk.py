"""The trunk of a step: forward at its beginning, backward at its end."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge


def run_trunk(trunk: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Callable[[Tensor], None] | None]:
    """Runs ``trunk`` forward.

    Returns:
        The features without their graph, and a function of the gradient in the features that runs the trunk backward;
        None if the features need no gradient.
    """
    with torch.enable_grad():
        features = trunk(images)
    if not features.requires_grad:
        return features.detach(), None
    output = get_gradient_edge(features)  # holds the graph, but not the features
    return features.detach(), lambda gradient: torch.autograd.backward(output, gradient)
