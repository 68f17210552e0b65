"""PredSim, local error signals from prediction and similarity (Nokland and Eidnes, arXiv 1901.06656).

Stage ``l`` computes ``h_l = f_l(sg(h_{l-1}))`` and learns from::

    L_predsim = (1 - beta) L_pred + beta L_sim,  beta = 0.99
    L_pred = CE(W_l^T pool(h_l), y)
    L_sim = || S(NeuralNet(h_l)) - S(Y) ||^2 / B^2

``NeuralNet`` is a trained map without a bias: a 3x3 convolution, or a linear layer where features are not maps. ``Y``
are one-hot labels. ``S(Z)`` has the cosine similarity of each two rows of ``Z``, which are centred first: each row less
its own mean, as in the authors' code. Of maps with more than 3 channels a row has the standard deviation of each
channel over its positions; other maps are flattened. Tokens, which the paper does not treat, are like maps.

The head is the axis ``head``: ``pooled``, the authors' predictor, unless the cell says. The last head is the
classifier. The maps are held in training only.
The authors train with Adam at 0.0005, divided by 4 four times in 400 epochs; ``predsim-authors`` has a cosine instead.

Differences from the paper: it has a loss at each layer, and here it is at each stage, so ``modules = depth`` is nearest
to it. It has an output layer on the last layer's predictor's input, ``sg(h_L)``, that learns from ``(1 - beta) CE``
beside that predictor; here the last predictor itself, which learns from the same, is the output layer. Its ReLUs leak
and layers drop out in some recipes. The authors' code (github.com/anokland/local-loss) updates a layer within the
forward pass, which changes nothing, since nothing later in a step reads the layer's weights.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.networks import Shape
from bench.train.networks.heads import width_of
from bench.train.networks.units import unit_sizes
from bench.train.rules.full_precision import full_precision
from bench.train.rules.without_beliefs import Stage, train_stages
from sid_core import BeliefNetwork
from sid_core.objective import one_hot

BETA = 0.99
_FEW_CHANNELS = 3
_LEAST_NORM = 1e-8


def similarity_maps(network: BeliefNetwork, shape: Shape) -> nn.ModuleList:
    """``NeuralNet`` of each stage of a pipeline that takes images of ``shape``."""
    stages: list[nn.Module] = [module.stage for module in network.local_modules]  # type: ignore[misc]
    maps: list[nn.Module] = []
    for sizes in unit_sizes(stages, shape):
        width = width_of(sizes.output)
        is_map = len(sizes.output) == 3
        maps.append(
            nn.Conv2d(width, width, 3, padding=1, bias=False) if is_map else nn.Linear(width, width, bias=False)
        )
    return nn.ModuleList(maps)


def train_each_stage(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    auxiliary: nn.ModuleList,
    beta: float = BETA,
) -> Tensor:
    """Prediction and similarity at each stage, and no gradient between stages; returns the sum of the losses, ``[]``.

    Args:
        network: a pipeline.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: one map of features per stage.
        beta: the weight of similarity matching, in [0, 1].
    """

    def local_loss(stage: Stage) -> Tensor:
        mapped = auxiliary[stage.number - 1](stage.features)
        similarity = similarity_loss(mapped, labels, network.classes)
        return (1 - beta) * F.cross_entropy(stage.logits, labels) + beta * similarity

    return train_stages(network, images, local_loss)


def similarity_loss(mapped: Tensor, labels: Tensor, classes: int) -> Tensor:
    """``L_sim``, a tensor of shape ``[]``, for mapped features ``[B, ...]`` and ``labels`` ``[B]``.

    It is computed in float32 under autocast: the differences of similarities are small.
    """
    wide, context = full_precision(mapped)
    with context:
        of_labels = similarity(one_hot(labels, wide.new_empty(len(wide), classes)))
        return F.mse_loss(similarity(wide), of_labels)


def similarity(features: Tensor) -> Tensor:
    """``S``, ``[B, B]``, with values in -1..1, for ``features`` ``[B, d, H, W]``, ``[B, tokens, d]`` or ``[B, d]``."""
    rows = _rows(features)
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / (_LEAST_NORM + torch.linalg.vector_norm(rows, dim=1, keepdim=True))
    return torch.clamp(rows @ rows.T, -1, 1)


def _rows(features: Tensor) -> Tensor:
    if features.dim() == 4 and features.shape[1] > _FEW_CHANNELS and features.shape[2] > 1:
        return features.flatten(2).std(dim=2)
    if features.dim() == 3 and features.shape[1] > 1:
        return features.std(dim=1)
    return features.flatten(1)
