"""Two backbones that torchvision does not have: five convolutions, and ViT-Tiny."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType

import torch
from torch import Tensor, nn

from bench.config.backbones import VIT_TINY_SIDES

Shape = tuple[int, int, int]

_VIT_WIDTH, _VIT_BLOCKS, _VIT_HEADS = 192, 12, 3
_CHANNELS = (32, 64, 64, 128, 128)  # of the convolutions, the second and fourth of which are pooled


def _conv(shape: Shape) -> list[nn.Module]:
    """Convolutions of 3x3 pixels, each with a ReLU: nearly the authors' trunk."""
    channels, *_ = shape
    units: list[nn.Module] = []
    for index, (fan_in, fan_out) in enumerate(pairwise([channels, *_CHANNELS])):
        pooling = [nn.MaxPool2d(2)] if index % 2 else []
        units.append(nn.Sequential(nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU(), *pooling))
    return units


def _vit_tiny(shape: Shape) -> list[nn.Module]:
    """ViT-Tiny (Touvron et al., arXiv 2012.12877) of torchvision's blocks, without a class token."""
    from torchvision.models.vision_transformer import Encoder

    channels, height, width = shape
    patch = VIT_TINY_SIDES.patch(height, width)
    patches = (height // patch) * (width // patch)
    encoder = Encoder(patches, _VIT_BLOCKS, _VIT_HEADS, _VIT_WIDTH, 4 * _VIT_WIDTH, dropout=0.0, attention_dropout=0.0)
    *blocks, last = encoder.layers
    return [_Patches(channels, patches, patch), *blocks, nn.Sequential(last, encoder.ln)]


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


OWN_BACKBONES: Mapping[str, Callable[[Shape], list[nn.Module]]] = MappingProxyType(
    {"conv": _conv, "vit-tiny": _vit_tiny}
)
