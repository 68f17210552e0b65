"""Units of backbones: their weights for a seed, and their sizes."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

import bench.train.networks.units
from bench.config.backbones import BACKBONES
from bench.train.networks.units import UnitSizes, build_units, unit_sizes


def sizes_of(backbone: str, shape: tuple[int, int, int]) -> list[UnitSizes]:
    return unit_sizes(build_units(backbone, shape), shape)


@pytest.mark.long
@pytest.mark.parametrize("backbone", ["conv", "resnet18", "vgg11", "vit-tiny", "densenet121", "swin_t"])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 8, 8)])
def test_a_backbone_has_its_units_and_their_sizes(backbone: str, shape: tuple[int, int, int]) -> None:
    units, sizes = build_units(backbone, shape), sizes_of(backbone, shape)
    assert len(units) == len(sizes) == BACKBONES[backbone].units
    features = torch.randn(2, *shape)
    for unit, size in zip(units, sizes, strict=True):
        features = unit(features)
        assert features.shape[1:] == size.output
        assert features.numel() * 4 == size.output_bytes


def test_large_images_get_the_large_stems() -> None:
    with torch.device("meta"):
        outputs = [
            build_units(backbone, (3, 224, 224))[0](torch.empty(1, 3, 224, 224)).shape[1:]
            for backbone in ("resnet18", "vit-tiny")
        ]
    assert outputs == [(64, 56, 56), (196, 192)]


def test_resnet_keeps_what_its_blocks_need() -> None:
    """A block's two convolutions, two BatchNorms and two ReLUs keep four tensors; in place, none twice."""
    first, second, *_ = sizes_of("resnet18", (3, 32, 32))
    one = first.output_bytes
    statistics = 4096
    assert 2 * one <= first.kept_bytes < 2 * one + statistics
    assert 4 * one <= second.kept_bytes < 4 * one + statistics


@pytest.mark.parametrize(
    ("backbone", "shape", "sum_of_weights", "next_number"),
    [
        ("conv", (3, 32, 32), 5116.486789, 598002557735),
        ("resnet18", (3, 32, 32), 224392.161438, 1016234449267),
        ("resnet18", (1, 96, 96), 224373.951545, 760682499161),
        ("vgg11", (3, 32, 32), 160637.336945, 392751536493),
        ("vgg11", (1, 8, 8), 160584.006139, 214666365970),
    ],
)
def test_a_seed_gives_the_weights_of_the_committed_records(
    backbone: str, shape: tuple[int, int, int], sum_of_weights: float, next_number: int
) -> None:
    """Also as many random numbers are drawn as then, since the weights of heads follow.

    ViT-Tiny is not here: PyTorch has changed how it draws truncated normal numbers.
    """
    torch.manual_seed(7)
    parameters = nn.ModuleList(build_units(backbone, shape)).parameters()
    assert torch.randint(2**40, ()).item() == next_number
    assert sum(parameter.detach().double().abs().sum().item() for parameter in parameters) == pytest.approx(
        sum_of_weights, rel=1e-9
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "backbone",
    [
        *(
            "convnext_tiny",
            "densenet121",
            "efficientnet_b0",
            "googlenet",
            "mnasnet0_5",
            "mobilenet_v3_small",
            "resnet50",
        ),
        *("regnet_y_400mf", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11_bn", "vit-tiny"),
    ],
)
def test_sizes_without_contents_are_those_of_real_tensors(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (3, 32, 32)
    predicted = sizes_of(backbone, shape)
    monkeypatch.setattr(bench.train.networks.units, "meta_tensors", nullcontext)
    assert predicted == sizes_of(backbone, shape)


def test_buffers_are_not_kept_for_the_backward_pass() -> None:
    """BatchNorm's backward pass reads its running statistics, which exist anyway."""
    unit = sizes_of("resnet18", (3, 4, 4))[1]
    features, statistics = unit.output_bytes, 2 * 64 * 4  # the mean and the deviation of each channel
    assert unit.kept_bytes == 4 * features + 2 * statistics
