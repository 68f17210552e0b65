"""MobileNet v2 and v3, MNASNet, EfficientNet and ShuffleNet v2; small images get a stem of stride 1."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torchvision.models import mnasnet, shufflenetv2

from bench.config.backbone_sides import is_small
from bench.train.networks.torchvision_models.family import (
    Family,
    Shape,
    draw_as_usual,
    draw_by_fan_out,
    fit_stem,
    opened,
)


class MobileNet(Family):
    """MobileNet v2 (arXiv 1801.04381) and v3 (arXiv 1905.02244), EfficientNet (arXiv 1905.11946) and its v2.

    Each has a stem, inverted residual blocks and a last convolution, which is a unit, too.
    """

    begins = (nn.Module,)

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels and stride."""
        fit_stem(model.features[0], shape, draw_by_fan_out)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, blocks, and a convolution."""
        return opened(model.features)

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)


class MNASNet(Family):
    """MNASNet (Tan et al., arXiv 1807.11626): three convolutions, inverted residual blocks, a last convolution."""

    begins = (nn.Conv2d, mnasnet._InvertedResidual)

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels and stride."""
        fit_stem(model.layers, shape, draw_by_fan_out)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """Convolutions with their norms, and blocks."""
        return opened(model.layers)

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)


class ShuffleNet(Family):
    """ShuffleNet v2 (Ma et al., arXiv 1807.11164); small images are not pooled in the stem either."""

    begins = (nn.Conv2d, shufflenetv2.InvertedResidual)

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels and stride, and its pooling."""
        fit_stem(model.conv1, shape, draw_as_usual)
        if is_small(*shape[1:]):
            model.maxpool = nn.Identity()

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, the blocks of three stages, and a convolution."""
        return opened([model.conv1, model.maxpool, model.stage2, model.stage3, model.stage4, model.conv5])

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.fc)
