"""ResNet, Wide ResNet, ResNeXt, RegNet, DenseNet and ConvNeXt."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torchvision.models import convnext, regnet, resnet

from bench.config.backbone_sides import is_small
from bench.train.meta_tensors import real_tensors
from bench.train.networks.torchvision_models.family import (
    Family,
    Shape,
    draw_by_fan_out,
    fit_channels,
    fit_stem,
    grouped,
    opened,
)


class ResNet(Family):
    """ResNet (He et al., arXiv 1512.03385), Wide ResNet (arXiv 1605.07146), ResNeXt (arXiv 1611.05431).

    Small images get a stem of one 3x3 convolution of stride 1 without pooling, as in He et al.'s networks for CIFAR-10.
    """

    begins = (resnet.BasicBlock, resnet.Bottleneck)

    def fit(self, model: Any, shape: Shape) -> None:
        """Draws the stem anew, also where it is torchvision's own: the records of ResNet-18 were measured so."""
        channels, height, width = shape
        if is_small(height, width):
            model.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        else:
            model.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        draw_by_fan_out(model.conv1)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, and the blocks of four stages."""
        stages = [model.layer1, model.layer2, model.layer3, model.layer4]
        return opened([model.conv1, model.bn1, model.relu, model.maxpool, *stages])

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(model.avgpool, nn.Flatten(), model.fc)


class RegNet(Family):
    """RegNet X and Y (Radosavovic et al., arXiv 2003.13678); small images get a stem of stride 1."""

    begins = (regnet.ResBottleneckBlock,)

    def build(self, name: str, shape: Shape, classes: int | None) -> Any:
        """As the other families; the widths are computed with tensors, whose contents are needed."""
        with _real_widths():
            return super().build(name, shape, classes)

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels and stride."""
        fit_stem(model.stem, shape, draw_by_fan_out)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, and the blocks of four stages."""
        return model.stem, *(block for stage in model.trunk_output for block in stage)

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(model.avgpool, nn.Flatten(), model.fc)


@contextmanager
def _real_widths() -> Iterator[None]:
    """Has torchvision compute RegNet's widths with real tensors, also where tensors have no contents."""
    compute = regnet.BlockParams.from_init_params

    def compute_with_contents(**parameters: Any) -> Any:
        with real_tensors():
            return compute(**parameters)

    with patch.object(regnet.BlockParams, "from_init_params", compute_with_contents):
        yield


class DenseNet(Family):
    """DenseNet (Huang et al., arXiv 1608.06993), one unit per dense layer.

    Small images get a stem of one 3x3 convolution of stride 1 without pooling, as in Huang et al.'s networks for CIFAR.
    """

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels, and for small images its kernel."""
        channels, height, width = shape
        features = model.features
        if is_small(height, width):
            features.conv0 = nn.Conv2d(channels, features.conv0.out_channels, 3, padding=1, bias=False)
            nn.init.kaiming_normal_(features.conv0.weight)
            features.pool0 = nn.Identity()
        else:
            fit_channels(features, channels, lambda convolution: nn.init.kaiming_normal_(convolution.weight))

    def units(self, model: Any) -> list[nn.Module]:
        """A stem and the dense layers; transitions, and the last norm with its ReLU, end units."""
        layers: list[nn.Module] = []
        for part in model.features:
            layers += map(_Grown, part.values()) if isinstance(part, nn.ModuleDict) else [part]
        return grouped([*layers, nn.ReLU(inplace=True)], (_Grown,))

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.classifier)


class _Grown(nn.Module):
    """A dense layer that hands on its input with its output, which torchvision keeps in a list.

    It calls the parts of the layer: the layer itself would copy its input.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, features: Tensor) -> Tensor:
        """``[B, d, H, W]`` to ``[B, d + growth, H, W]``."""
        layer = self.layer
        narrow = layer.conv1(layer.relu1(layer.norm1(features)))
        return torch.cat([features, layer.conv2(layer.relu2(layer.norm2(narrow)))], 1)


class ConvNeXt(Family):
    """ConvNeXt (Liu et al., arXiv 2201.03545), as published for every size: its stem makes a pixel of 4x4."""

    begins = (convnext.CNBlock,)

    def fit(self, model: Any, shape: Shape) -> None:
        """The stem's channels."""
        fit_channels(model.features[0], shape[0], _draw_truncated)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A stem, and the blocks of four stages, between which convolutions shrink the features."""
        return opened(model.features)

    def head(self, model: Any) -> nn.Module:
        """Mean, norm and classifier."""
        return nn.Sequential(model.avgpool, model.classifier)


def _draw_truncated(convolution: nn.Conv2d) -> None:
    nn.init.trunc_normal_(convolution.weight, std=0.02)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
