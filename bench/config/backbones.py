"""The backbones that pipelines are cut from and that cascades have as trunks, without torch.

All except ``conv`` and ``vit-tiny`` are torchvision's models, by torchvision's names. Images of at most 64 pixels a
side get the usual small variants:

- ResNet, Wide ResNet, ResNeXt and DenseNet begin with a 3x3 convolution of stride 1 and do not pool in the stem.
- RegNet, MobileNet, MNASNet, EfficientNet and ShuffleNet begin with a convolution of stride 1, and ShuffleNet does not
  pool in the stem.
- Vision transformers cut them into patches of 4x4 pixels.
- VGG, with images of any size, stops pooling when the shorter side is one pixel.

All other models have one layout for every size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.config.backbone_sides import Patches, Sides, Window, Windows
from bench.config.torchvision_families import FAMILIES


@dataclass(frozen=True)
class Backbone:
    """A chain of units, each of which maps one tensor to one tensor.

    Attributes:
        name: torchvision's name, or one of ours.
        summary: its parts, in a few words.
        units: the number of units: usually a stem and blocks.
        sides: which images are legal.
        torchvision_file: the file of ``torchvision.models`` that defines it; None for ours.
        is_trunk: whether it can be the trunk of a cascade.
    """

    name: str
    summary: str
    units: int
    sides: Sides
    torchvision_file: str | None = None
    is_trunk: bool = True

    def refuse_sides(self, height: int, width: int) -> str | None:
        """Return None if images of ``height`` by ``width`` pixels are legal, or else say which sides are."""
        return self.sides.refuse(height, width)


def _of_torchvision() -> Iterator[Backbone]:
    for family in FAMILIES:
        for name, units in family.units.items():
            summary = family.summary.format(units=units, blocks=units - family.others)
            yield Backbone(name, summary, units, family.sides, family.file)


VIT_TINY_SIDES = Patches(small=4, large=16)
_POOLED_TWICE = Windows((Window(2, stride=2), Window(2, stride=2)))
_OURS = (
    Backbone("conv", "five convolutions", 5, _POOLED_TWICE, is_trunk=False),  # the authors' trunk is nearly the same
    Backbone("vit-tiny", "ViT-Tiny: patches and 12 blocks of width 192", 13, VIT_TINY_SIDES),
)

BACKBONES: Mapping[str, Backbone] = MappingProxyType(
    {backbone.name: backbone for backbone in (*_OURS, *_of_torchvision())}
)
