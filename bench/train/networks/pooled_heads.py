"""PredSim's predictor: one linear layer on average-pooled features.

Nokland and Eidnes, "Training neural networks with local error signals" (arXiv 1901.06656), predict the classes at each
layer by a linear layer. The features are pooled first until there are few enough. The authors' code starts from 1x1
windows. As long as there are more than ``most_inputs`` numbers and the window is not as high as the features, it
doubles the height of the window, and then the width, if the numbers are still too many. So a window may be twice as
high as wide. Sides that it does not divide are padded with zeros, which count in the mean. Weights start at zero, so
the first step passes no gradient of the prediction on to the stage.

The authors' features are square maps. Here tokens are pooled as a column of positions, and ``[B, d]`` is not pooled.
"""

import math
from dataclasses import dataclass

from torch import nn

from bench.train.networks.heads import Features, PositionalHead, channels_first

MOST_INPUTS = 4096  # the default of the authors' code; their recipe for VGG8b has 2048


@dataclass(frozen=True)
class Window:
    """What features ``(d, H, W)`` are pooled with.

    Attributes:
        kernel: height and width, which are the strides, too.
        padding: of height and width, on each side.
        sides: of the pooled features.
    """

    kernel: tuple[int, int]
    padding: tuple[int, int]
    sides: tuple[int, int]


def window(channels: int, height: int, width: int, most_inputs: int) -> Window:
    """The window that pools ``(channels, height, width)`` to ``most_inputs`` numbers, as far as pooling can."""
    kernel, sides = [1, 1], [height, width]

    def widen(axis: int) -> None:
        kernel[axis] *= 2
        sides[axis] = math.ceil((height, width)[axis] / kernel[axis])

    while channels * sides[0] * sides[1] > most_inputs and kernel[0] < height:
        widen(0)
        if channels * sides[0] * sides[1] > most_inputs and sides[1] > 1:
            widen(1)
    padding = [
        size * (side - given // size) // 2 for size, side, given in zip(kernel, sides, (height, width), strict=True)
    ]
    return Window((kernel[0], kernel[1]), (padding[0], padding[1]), (sides[0], sides[1]))


def pooled_head(features: Features, classes: int, most_inputs: int = MOST_INPUTS) -> PositionalHead:
    """The predictor of one stage; that of the last stage is the classifier.

    Args:
        features: the shape of a stage's output, without the batch.
        classes: C.
        most_inputs: of the linear layer, as far as pooling can.
    """
    pooling, inputs = _pooling(features, most_inputs)
    first = nn.Linear(inputs, classes)
    nn.init.zeros_(first.weight)
    return PositionalHead(channels_first(features, [*pooling, nn.Flatten()]), first, nn.Identity(), classes)


def _pooling(features: Features, most_inputs: int) -> tuple[list[nn.Module], int]:
    """What pools ``features``, channels first, and how many numbers of an image it gives."""
    if len(features) == 1:
        return [], features[0]
    if len(features) == 2:
        tokens, width = features
        chosen = window(width, tokens, 1, most_inputs)
        return [nn.AvgPool1d(chosen.kernel[0], padding=chosen.padding[0])], width * chosen.sides[0]
    channels, height, breadth = features
    chosen = window(channels, height, breadth, most_inputs)
    return [nn.AvgPool2d(chosen.kernel, padding=chosen.padding)], channels * math.prod(chosen.sides)
