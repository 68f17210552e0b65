"""Ordinary backbones as lists of units (a stem, then blocks), for pipelines and as trunks of cascades.

ResNet-18, VGG-11 and ViT-Tiny are built of torchvision's modules, untrained, without their classifiers: each stage of a
pipeline has a head of its own, and a trunk ends as the authors' does, with a mean and a linear layer. Images of at most
64 pixels get the usual small variants: a ResNet stem of one 3x3 convolution with stride 1, patches of 4x4 pixels for
the ViT, and no pooling in the VGG once one pixel is left.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

_VIT_WIDTH, _VIT_BLOCKS, _VIT_HEADS = 192, 12, 3
_CONVOLUTIONS = (32, 64, 64, 128, 128)  # channels of the units of pipeline-conv; every second one ends with pooling
# One image would be too few for BatchNorm behind the last stride. Bytes grow in proportion, so the cut does not depend
# on the number.
_IMAGES = 2

Shape = tuple[int, int, int]
SMALL_SIDE = 64


def vit_patch(h: int, w: int) -> int:
    """Patch."""
    return 16 if max(h, w) > 64 else 4


def build_units(network: str, shape: Shape) -> list[nn.Module]:
    """The units of ``network``, with weights from torch's generator."""
    return _BUILDERS[network](shape)


def _resnet18(shape: Shape) -> list[nn.Module]:
    from torchvision.models import resnet18

    network = resnet18(weights=None)
    channels, *sides = shape
    is_small = max(sides) <= SMALL_SIDE
    convolution = (
        nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        if is_small
        else nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    stem = [convolution, network.bn1, network.relu, *([] if is_small else [network.maxpool])]
    groups = [network.layer1, network.layer2, network.layer3, network.layer4]
    return [nn.Sequential(*stem), *(block for group in groups for block in group)]


def _vgg11(shape: Shape) -> list[nn.Module]:
    from torchvision.models.vgg import cfgs, make_layers

    channels, height, width = shape
    side = min(height, width)
    units: list[nn.Sequential] = []
    for layer in make_layers(cfgs["A"]):
        if isinstance(layer, nn.Conv2d):
            if not units:
                layer = nn.Conv2d(channels, layer.out_channels, 3, padding=1)
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            units.append(nn.Sequential(layer))
        elif not isinstance(layer, nn.MaxPool2d):
            units[-1].append(layer)
        elif side > 1:
            side //= 2
            units[-1].append(layer)
    return list(units)


class _Patches(nn.Module):
    """Images to tokens ``[B, patches, d]``, with their positions; heads pool all tokens, so no class has one."""

    def __init__(self, channels: int, patches: int, patch: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, _VIT_WIDTH, patch, stride=patch)
        fan_in = channels * patch * patch
        nn.init.trunc_normal_(self.convolution.weight, std=fan_in**-0.5)
        self.positions = nn.Parameter(torch.empty(1, patches, _VIT_WIDTH).normal_(std=0.02))

    def forward(self, images: Tensor) -> Tensor:
        tokens: Tensor = self.convolution(images).flatten(2).transpose(1, 2) + self.positions
        return tokens


def _vit_tiny(shape: Shape) -> list[nn.Module]:
    from torchvision.models.vision_transformer import Encoder

    channels, height, width = shape
    patch = vit_patch(height, width)
    patches = (height // patch) * (width // patch)
    encoder = Encoder(patches, _VIT_BLOCKS, _VIT_HEADS, _VIT_WIDTH, 4 * _VIT_WIDTH, dropout=0.0, attention_dropout=0.0)
    *blocks, last = encoder.layers
    return [_Patches(channels, patches, patch), *blocks, nn.Sequential(last, encoder.ln)]


def _conv(shape: Shape) -> list[nn.Module]:
    channels, *_ = shape
    units: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise([channels, *_CONVOLUTIONS])):
        pooling = [nn.MaxPool2d(2)] if index % 2 else []
        units.append(nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU(), *pooling))
    return units


_BUILDERS: dict[str, Callable[[Shape], list[nn.Module]]] = {
    "conv": _conv,
    "resnet18": _resnet18,
    "vgg11": _vgg11,
    "vit-tiny": _vit_tiny,
}
