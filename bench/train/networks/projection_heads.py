"""The head of Mono-Forward: one matrix on all activations of a stage."""

import math

from torch import nn

from bench.train.networks.heads import Features, PositionalHead


def projection_head(features: Features, classes: int) -> PositionalHead:
    """``G = a M^T`` for all activations ``a`` of a stage, at every position; no bias and no hidden layer."""
    projection = nn.Linear(math.prod(features), classes, bias=False)
    return PositionalHead(nn.Flatten(), projection, nn.Identity(), classes)
