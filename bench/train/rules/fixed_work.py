"""Work that never changes, timed beside the methods: what BP's own step can be compared with.

Times are ratios to BP, so they say nothing of BP, nor of what all methods run alike, such as a network's layers. No
code of the project takes part in this work but the call of a step, whose optimizer finds no gradients.
"""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS = 8
_WIDTH = 256


def fixed_work(_network: object, _images: object, _labels: object, _objective: object) -> "Tensor":
    """Matrix products forward and backward: fixed work, the same whatever the cell is."""
    import torch  # the row of a method is loaded where cells are only listed

    inputs, weights = _tensors()
    hidden = inputs
    for weight in weights:
        hidden = torch.relu(hidden @ weight)
    loss = hidden.square().mean()
    torch.autograd.grad(loss, weights)
    return loss.detach()


@cache
def _tensors() -> "tuple[Tensor, list[Tensor]]":
    import torch

    generator = torch.Generator().manual_seed(0)
    scale = (2 / _WIDTH) ** 0.5
    inputs = torch.randn(_WIDTH, _WIDTH, generator=generator)
    weights = [scale * torch.randn(_WIDTH, _WIDTH, generator=generator) for _ in range(_LAYERS)]
    return inputs, [weight.requires_grad_() for weight in weights]
