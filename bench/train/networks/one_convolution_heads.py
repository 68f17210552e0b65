"""InfoPro's auxiliary network ``1c2f``: one 3x3 convolution, the mean over positions, two linear layers.

It is the classifier at each stage of Wang et al., "Revisiting locally supervised learning" (arXiv 2101.10832), and with
another number of outputs the projection of their contrastive loss. The convolution has twice the stage's channels, at
most 64, and stride 2 where the stage has fewer than 64: what the authors' code has for the 16, 32 and 64 channels of
their ResNets. The first linear layer has 128 features. Convolutions start as theirs do, from a normal distribution of
variance ``2 / (9 * outputs)``. The last stage has a linear layer on the mean: the classifier of their ResNets.

Tokens are a row of positions here, and features ``[B, d]`` pass a linear layer in place of the convolution. The
authors treat maps only.
"""

from torch import nn

from bench.train.networks.heads import Features, Mean, PositionalHead, channels_first, width_of

_MOST_CHANNELS = 64
HIDDEN = 128


def one_convolution_head(
    features: Features, classes: int, stage: int, stages: int, widen: float = 1.0, linear_features: int = HIDDEN
) -> PositionalHead:
    """The classifier of one stage.

    Args:
        features: the shape of a stage's output, without the batch.
        classes: C.
        stage: from 1.
        stages: how many there are.
        widen: multiplies the channels of the convolution and the features of the first linear layer.
        linear_features: of the first linear layer.
    """
    if stage == stages:
        return PositionalHead(Mean(), nn.Linear(width_of(features), classes), nn.Identity(), classes)
    return PositionalHead(*_layers(features, classes, widen, linear_features), classes)


def projection(features: Features, outputs: int = HIDDEN, widen: float = 1.0) -> nn.Sequential:
    """The same network from a stage's ``features`` to an embedding ``[B, outputs]``."""
    return nn.Sequential(*_layers(features, outputs, widen, outputs))


def _layers(features: Features, outputs: int, widen: float, linear: int) -> tuple[nn.Module, nn.Linear, nn.Module]:
    """The convolution with the mean over positions, the first linear layer, and what follows it."""
    given = width_of(features)
    kept = int(min(2 * given, _MOST_CHANNELS) * widen)
    stride = 2 if given < _MOST_CHANNELS else 1
    rest: list[nn.Module]
    layer: nn.Linear | nn.Conv1d | nn.Conv2d
    if len(features) == 1:
        layer, rest = nn.Linear(given, kept, bias=False), [nn.BatchNorm1d(kept), nn.ReLU()]
    elif len(features) == 2:
        layer = nn.Conv1d(given, kept, 3, stride, padding=1, bias=False)
        rest = [nn.BatchNorm1d(kept), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    else:
        layer = nn.Conv2d(given, kept, 3, stride, padding=1, bias=False)
        rest = [nn.BatchNorm2d(kept), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    width = int(linear * widen)
    mlp = nn.Sequential(nn.ReLU(), nn.Linear(width, outputs))
    return channels_first(features, [layer, *rest]), nn.Linear(kept, width), mlp
