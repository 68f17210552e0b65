"""A cascade whose modules of several layers have shortcuts and layer normalisation, so that deep ones train.

Blocks have normalisation and ReLU before their linear layer, as in "Identity Mappings in Deep Residual Networks"
(arXiv 1603.05027, figure 4e), with layer normalisation (arXiv 1607.06450) in place of batch normalisation. In one
module it is a strong deep baseline for backpropagation; in as many modules as layers it is the authors' cascade.
"""

import math

import torch
from torch import Tensor, nn

from bench.config.networks import Shape
from sid_core import Cascade, cascade, linear_trunk


class ResidualLayer(nn.Module):
    """One hidden layer, ``[B, hidden] -> [B, hidden]``: ``x + linear(relu(normalise(x)))``."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, hidden))

    def forward(self, features: Tensor) -> Tensor:
        """The layer's output, ``[B, hidden]``."""
        changed: Tensor = features + self.branch(features)
        return changed


class ResidualModule(nn.Module):
    """A module of two or more hidden layers: ``(belief [B, C], features [B, d]) -> logits [B, C]``.

    A linear layer ``(C + d) -> hidden``, :class:`ResidualLayer` for each further hidden layer, layer normalisation,
    ReLU, a linear layer ``hidden -> C``. With one hidden layer and no normalisation it would be the authors' module.
    """

    def __init__(self, feature_dim: int, classes: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(classes + feature_dim, hidden),
            *[ResidualLayer(hidden) for _ in range(layers - 1)],
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, classes),
        )

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        """The module's logits, ``[B, C]``."""
        logits: Tensor = self.layers(torch.cat((belief, features), dim=1))
        return logits


def cascade_of_residual_modules(
    shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int
) -> Cascade:
    """A cascade on one linear layer of ``modules`` modules with ``depth`` hidden layers together.

    A module of one hidden layer is the authors' :class:`sid_core.LocalModule`.
    """
    trunk = linear_trunk(math.prod(shape), width)
    layers = depth // modules
    if layers == 1:
        return cascade(modules, classes, shape[0], width, hidden, trunk=trunk)
    return Cascade(trunk, [ResidualModule(width, classes, hidden, layers) for _ in range(modules)], classes)
