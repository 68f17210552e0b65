"""What is said of the sides of images without torch, against forward passes on tensors without contents."""

import functools
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.config.backbone_sides import is_small
from bench.config.backbones import BACKBONES, Backbone
from bench.train.networks.units import build_units

# One of each kind of sides and of each family; others differ in depth and in width.
SHALLOW = list(
    {
        (backbone.torchvision_file, backbone.sides): backbone.name
        for backbone in sorted(BACKBONES.values(), key=lambda backbone: backbone.units, reverse=True)
    }.values()
)
TILED = [name for name in SHALLOW if name.startswith(("vit", "maxvit"))]
SHRUNK = [name for name in SHALLOW if name not in TILED]


@functools.cache
def units_for(name: str, height: int, width: int) -> list[nn.Module]:
    with torch.device("meta"):
        return build_units(name, (2, height, width))


def run(name: str, height: int, width: int) -> None:
    """Runs two images through ``name``."""
    side = 32 if is_small(height, width) else 96  # what is built depends on no more of the size, except in VGG
    units = units_for(name, *((height, width) if name.startswith("vgg") else (side, side)))
    features = torch.empty(2, 2, height, width, device="meta")
    for unit in units:
        features = unit(features)


def least_side(text: str) -> int:
    least, _, rest = text.partition(" ")
    assert rest == "or more"
    return int(least)


@pytest.mark.parametrize("name", SHRUNK)
@settings(max_examples=3, deadline=None)
@given(height=st.integers(1, 130), width=st.integers(1, 130))
@pytest.mark.long
def test_images_are_refused_that_shrink_to_nothing_and_no_others(name: str, height: int, width: int) -> None:
    backbone = BACKBONES[name]
    text = backbone.refuse_sides(height, width)
    if text is None:
        run(name, height, width)
        return
    assert min(height, width) < least_side(text)
    with pytest.raises(RuntimeError):
        run(name, height, width)


@pytest.mark.parametrize("name", SHRUNK)
@pytest.mark.parametrize("longer", [64, 65, 150])
@pytest.mark.long
def test_the_least_legal_side_is_legal_and_one_pixel_fewer_is_not(name: str, longer: int) -> None:
    backbone = BACKBONES[name]
    refused = [side for side in range(1, longer + 1) if backbone.refuse_sides(side, longer) is not None]
    assert refused == list(range(1, len(refused) + 1))
    if len(refused) == longer:  # the longer side is too short, too
        return
    least = len(refused) + 1
    run(name, least, longer)
    if refused:
        assert least_side(str(backbone.refuse_sides(refused[-1], longer))) == least
        with pytest.raises(RuntimeError):
            run(name, refused[-1], longer)


@pytest.mark.parametrize("name", [name for name in TILED if name.startswith("vit")])
@pytest.mark.parametrize("shape", [(8, 64), (32, 32), (224, 448)])
def test_patches_tile_legal_images(name: str, shape: tuple[int, int]) -> None:
    backbone = BACKBONES[name]
    height, width = shape
    assert backbone.refuse_sides(height, width) is None
    with torch.device("meta"):
        stem = build_units(name, (1, height, width))[0]
        tokens = stem(torch.empty(2, 1, height, width))
    convolution = next(module for module in stem.modules() if isinstance(module, nn.Conv2d))
    rows, columns = convolution.stride
    assert height % rows == 0
    assert width % columns == 0
    patches = (height // rows) * (width // columns)
    assert tokens.shape[1] - patches == (0 if name == "vit-tiny" else 1)  # the class token
    for larger in (height + rows - 1, width + 1):
        assert "multiples of 4 up to 64" in str(backbone.refuse_sides(larger, larger))


@pytest.mark.long
@pytest.mark.parametrize("side", [*range(218, 226), 444, 445, 448, 449])
def test_maxvit_takes_the_sides_that_torchvision_takes(side: int) -> None:
    backbone = BACKBONES["maxvit_t"]
    assert backbone.refuse_sides(side, side + 1) is not None
    if backbone.refuse_sides(side, side) is not None:
        with pytest.raises(ValueError, match="not divisible by partition size"):
            units_for("maxvit_t", side, side)
        return
    features = torch.empty(2, 2, side, side, device="meta")
    for unit in units_for("maxvit_t", side, side):
        features = unit(features)


def test_what_is_said_of_a_backbone_needs_no_torch() -> None:
    program = "import sys, bench.config.backbones; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_summaries_count_the_units() -> None:
    def summary(name: str) -> str:
        backbone: Backbone = BACKBONES[name]
        return backbone.summary

    assert summary("resnet50") == "residual network: a stem and 16 blocks"
    assert summary("vgg11_bn") == "VGG: 8 convolutions with BatchNorm"
    assert summary("mobilenet_v2") == "MobileNet v2: a stem, 17 blocks and a convolution"
