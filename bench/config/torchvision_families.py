"""The classification models of torchvision by family: their units, and the images that they take."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench.config.backbone_sides import HALVING, AnySides, Partitions, Patches, Sides, Window, Windows


@dataclass(frozen=True)
class TorchvisionFamily:
    """Models of one file of ``torchvision.models``, which are cut in the same way.

    Attributes:
        file: the file's name.
        summary: the parts of a model, with ``{units}`` for the number of its units and ``{blocks}`` for that of blocks.
        units: the number of units of each model, by torchvision's name.
        sides: which images are legal.
        others: the number of units that are not blocks, such as a stem.
    """

    file: str
    summary: str
    units: Mapping[str, int]
    sides: Sides
    others: int = 1


_LARGE_STEM = (Window(7, stride=2, padding=3), HALVING)
_POOLING = Window(2, stride=2)
_POOLING_OF_3 = Window(3, stride=2)
_POOLING_OF_3_UP = Window(3, stride=2, rounds_up=True)
_POOLING_UP = Window(2, stride=2, rounds_up=True)
_FIVE_HALVINGS = Windows(large=(HALVING,) * 5, small=(HALVING,) * 4)

FAMILIES = (
    TorchvisionFamily(
        "alexnet",
        "AlexNet: {units} convolutions",
        {"alexnet": 5},
        Windows((Window(11, stride=4, padding=2), _POOLING_OF_3, _POOLING_OF_3, _POOLING_OF_3)),
    ),
    TorchvisionFamily(
        "convnext",
        "ConvNeXt: a stem and {blocks} blocks",
        {"convnext_tiny": 19, "convnext_small": 37, "convnext_base": 37, "convnext_large": 37},
        Windows((Window(4, stride=4), _POOLING, _POOLING, _POOLING)),
    ),
    TorchvisionFamily(
        "densenet",
        "DenseNet: a stem and {blocks} dense layers",
        {"densenet121": 59, "densenet161": 79, "densenet169": 83, "densenet201": 99},
        Windows(large=(*_LARGE_STEM, _POOLING, _POOLING, _POOLING), small=(_POOLING, _POOLING, _POOLING)),
    ),
    TorchvisionFamily(
        "efficientnet",
        "EfficientNet: a stem, {blocks} blocks and a convolution",
        {
            "efficientnet_b0": 18,
            "efficientnet_b1": 25,
            "efficientnet_b2": 25,
            "efficientnet_b3": 28,
            "efficientnet_b4": 34,
            "efficientnet_b5": 41,
            "efficientnet_b6": 47,
            "efficientnet_b7": 57,
            "efficientnet_v2_s": 42,
            "efficientnet_v2_m": 59,
            "efficientnet_v2_l": 81,
        },
        _FIVE_HALVINGS,
        others=2,
    ),
    TorchvisionFamily(
        "googlenet",
        "GoogLeNet: 3 convolutions and {blocks} inception modules",
        {"googlenet": 12},
        Windows(
            (Window(7, stride=2, padding=3), _POOLING_OF_3_UP, _POOLING_OF_3_UP, _POOLING_OF_3_UP, _POOLING_UP),
        ),
        others=3,
    ),
    TorchvisionFamily(
        "inception",
        "Inception v3: 5 convolutions and {blocks} inception modules",
        {"inception_v3": 16},
        Windows((Window(3, stride=2), Window(3), _POOLING_OF_3, Window(3), *(_POOLING_OF_3,) * 3)),
        others=5,
    ),
    TorchvisionFamily(
        "maxvit",
        "MaxViT: a stem and {blocks} layers, each of a convolution and two attentions",
        {"maxvit_t": 12},
        Partitions(side=7, halvings=5),
    ),
    TorchvisionFamily(
        "mnasnet",
        "MNASNet: 3 convolutions, {blocks} blocks and a convolution",
        {"mnasnet0_5": 20, "mnasnet0_75": 20, "mnasnet1_0": 20, "mnasnet1_3": 20},
        _FIVE_HALVINGS,
        others=4,
    ),
    TorchvisionFamily(
        "mobilenetv2",
        "MobileNet v2: a stem, {blocks} blocks and a convolution",
        {"mobilenet_v2": 19},
        _FIVE_HALVINGS,
        others=2,
    ),
    TorchvisionFamily(
        "mobilenetv3",
        "MobileNet v3: a stem, {blocks} blocks and a convolution",
        {"mobilenet_v3_small": 13, "mobilenet_v3_large": 17},
        _FIVE_HALVINGS,
        others=2,
    ),
    TorchvisionFamily(
        "regnet",
        "RegNet: a stem and {blocks} blocks",
        {
            "regnet_x_400mf": 23,
            "regnet_x_800mf": 17,
            "regnet_x_1_6gf": 19,
            "regnet_x_3_2gf": 26,
            "regnet_x_8gf": 24,
            "regnet_x_16gf": 23,
            "regnet_x_32gf": 24,
            "regnet_y_400mf": 17,
            "regnet_y_800mf": 15,
            "regnet_y_1_6gf": 28,
            "regnet_y_3_2gf": 22,
            "regnet_y_8gf": 18,
            "regnet_y_16gf": 19,
            "regnet_y_32gf": 21,
            "regnet_y_128gf": 28,
        },
        _FIVE_HALVINGS,
    ),
    TorchvisionFamily(
        "resnet",
        "residual network: a stem and {blocks} blocks",
        {
            "resnet18": 9,
            "resnet34": 17,
            "resnet50": 17,
            "resnet101": 34,
            "resnet152": 51,
            "resnext50_32x4d": 17,
            "resnext101_32x8d": 34,
            "resnext101_64x4d": 34,
            "wide_resnet50_2": 17,
            "wide_resnet101_2": 34,
        },
        Windows(large=(*_LARGE_STEM, HALVING, HALVING, HALVING), small=(HALVING, HALVING, HALVING)),
    ),
    TorchvisionFamily(
        "shufflenetv2",
        "ShuffleNet v2: a stem, {blocks} blocks and a convolution",
        {"shufflenet_v2_x0_5": 18, "shufflenet_v2_x1_0": 18, "shufflenet_v2_x1_5": 18, "shufflenet_v2_x2_0": 18},
        Windows(large=(HALVING,) * 5, small=(HALVING,) * 3),
        others=2,
    ),
    TorchvisionFamily(
        "squeezenet",
        "SqueezeNet: a convolution and {blocks} fire modules",
        {"squeezenet1_0": 9},
        Windows((Window(7, stride=2), _POOLING_OF_3_UP, _POOLING_OF_3_UP, _POOLING_OF_3_UP)),
    ),
    TorchvisionFamily(
        "squeezenet",
        "SqueezeNet: a convolution and {blocks} fire modules",
        {"squeezenet1_1": 9},
        Windows((Window(3, stride=2), _POOLING_OF_3_UP, _POOLING_OF_3_UP, _POOLING_OF_3_UP)),
    ),
    TorchvisionFamily(
        "swin_transformer",
        "Swin transformer: patches and {blocks} blocks",
        {"swin_t": 13, "swin_s": 25, "swin_b": 25, "swin_v2_t": 13, "swin_v2_s": 25, "swin_v2_b": 25},
        Windows((Window(4, stride=4), _POOLING_UP, _POOLING_UP, _POOLING_UP)),
    ),
    TorchvisionFamily(
        "vgg",
        "VGG: {units} convolutions",
        {"vgg11": 8, "vgg13": 10, "vgg16": 13, "vgg19": 16},
        AnySides(),
    ),
    TorchvisionFamily(
        "vgg",
        "VGG: {units} convolutions with BatchNorm",
        {"vgg11_bn": 8, "vgg13_bn": 10, "vgg16_bn": 13, "vgg19_bn": 16},
        AnySides(),
    ),
    *(
        TorchvisionFamily(
            "vision_transformer",
            f"vision transformer: patches (of {patch}x{patch} pixels in large images) and {{blocks}} blocks",
            {name: units},
            Patches(small=4, large=patch),
        )
        for name, units, patch in (
            ("vit_b_16", 13, 16),
            ("vit_b_32", 13, 32),
            ("vit_l_16", 25, 16),
            ("vit_l_32", 25, 32),
            ("vit_h_14", 33, 14),
        )
    ),
)
