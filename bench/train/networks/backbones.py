"""Ordinary backbones as lists of units (a stem, then blocks), for pipelines and as trunks of cascades.

ResNet-18, VGG-11 and ViT-Tiny are built of torchvision's modules, untrained, without their classifiers: each stage of a
pipeline has a head of its own, and a trunk ends as the authors' does, with a mean and a linear layer. Images of at most
64 pixels get the usual small variants: a ResNet stem of one 3x3 convolution with stride 1, patches of 4x4 pixels for
the ViT, and no pooling in the VGG once one pixel is left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from bench.config.catalog import BACKBONE_TRUNKS, SMALL_SIDE, vit_patch
from bench.config.cell import Cell
from bench.train.meta_tensors import hollow_tensors
from bench.train.networks.cuts import balanced_cut, even_cut
from sid_core import Pipeline
from sid_core.pipeline import pool

_VIT_WIDTH, _VIT_BLOCKS, _VIT_HEADS = 192, 12, 3
_CONVOLUTIONS = (32, 64, 64, 128, 128)  # channels of the units of pipeline-conv; every second one ends with pooling
# One image would be too few for BatchNorm behind the last stride. Bytes grow in proportion, so the cut does not depend
# on the number.
_IMAGES = 2

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class UnitSizes:
    """Of one unit, for two images: channels and bytes of its output, and the bytes kept for its backward pass."""

    width: int
    output_bytes: int
    kept_bytes: int


def build_pipeline(cell: Cell, shape: Shape, classes: int) -> Pipeline:
    """The backbone of ``cell`` for images of ``shape`` (channels, height, width), cut into ``cell.modules`` stages.

    The backbone's weights are drawn before the heads', so that they are the same for every cut.
    """
    sizes = unit_sizes(cell.network, shape)
    if cell.cut == "balanced":
        ends = balanced_cut([unit.kept_bytes for unit in sizes], [unit.output_bytes for unit in sizes], cell.modules)
    else:
        ends = even_cut(len(sizes), cell.modules)
    units = build_units(cell.network, shape)
    stages = [nn.Sequential(*units[start:end]) for start, end in pairwise([0, *ends])]
    return Pipeline.with_heads(stages, [sizes[end - 1].width for end in ends], classes, cell.hidden)


def build_trunk(cell: Cell, shape: Shape) -> nn.Sequential:
    """The backbone of ``cell`` as a trunk: images ``[B, *shape]`` to features ``[B, cell.width]``.

    Its units are those of the pipeline of the same backbone, with the same weights.
    """
    backbone = BACKBONE_TRUNKS[cell.network]
    *_, last = unit_sizes(backbone, shape)
    return nn.Sequential(*build_units(backbone, shape), _Pool(), nn.Linear(last.width, cell.width))


def build_units(network: str, shape: Shape) -> list[nn.Module]:
    """The units of ``network``, with weights from torch's generator."""
    return _BUILDERS[network](shape)


def unit_sizes(network: str, shape: Shape) -> list[UnitSizes]:
    """The sizes of each unit of ``network``, from a pass over tensors without contents."""
    sizes = []
    with hollow_tensors():
        features = torch.empty(_IMAGES, *shape)
        counted = {features.untyped_storage()._cdata}
        for unit in build_units(network, shape):
            counted |= {parameter.untyped_storage()._cdata for parameter in unit.parameters()}
            kept: list[Tensor] = []
            with torch.autograd.graph.saved_tensors_hooks(_keep_in(kept), lambda tensor: tensor):
                features = unit(features)
            storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes() for tensor in kept}
            kept_bytes = sum(size for address, size in storages.items() if address not in counted)
            counted |= set(storages)  # whatever is kept lives as long as the features' graph
            width = features.shape[2 if features.dim() == 3 else 1]
            sizes.append(UnitSizes(width, features.untyped_storage().nbytes(), kept_bytes))
    return sizes


def _keep_in(kept: list[Tensor]) -> Callable[[Tensor], Tensor]:
    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.detach())
        return tensor

    return keep


class _Pool(nn.Module):
    """:func:`sid_core.pipeline.pool`: the mean over pixels or tokens."""

    def forward(self, features: Tensor) -> Tensor:
        return pool(features)


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
    "pipeline-conv": _conv,
    "pipeline-resnet18": _resnet18,
    "pipeline-vgg11": _vgg11,
    "pipeline-vit-tiny": _vit_tiny,
}
