"""torchvision's models by name."""

from typing import Any

from torch import nn

from bench.config.backbones import BACKBONES
from bench.train.networks.torchvision_models.attention import MaxViT, SwinTransformer, VisionTransformer
from bench.train.networks.torchvision_models.family import Family, Shape
from bench.train.networks.torchvision_models.mobile import MNASNet, MobileNet, ShuffleNet
from bench.train.networks.torchvision_models.plain import VGG, AlexNet, Inception, SqueezeNet
from bench.train.networks.torchvision_models.residual import ConvNeXt, DenseNet, RegNet, ResNet

# By the file of torchvision.models that has them.
_FAMILIES: dict[str, Family] = {
    "alexnet": AlexNet(),
    "convnext": ConvNeXt(),
    "densenet": DenseNet(),
    "efficientnet": MobileNet(),
    "googlenet": Inception(0.01),
    "inception": Inception(0.1),
    "maxvit": MaxViT(),
    "mnasnet": MNASNet(),
    "mobilenetv2": MobileNet(),
    "mobilenetv3": MobileNet(),
    "regnet": RegNet(),
    "resnet": ResNet(),
    "shufflenetv2": ShuffleNet(),
    "squeezenet": SqueezeNet(),
    "swin_transformer": SwinTransformer(),
    "vgg": VGG(),
    "vision_transformer": VisionTransformer(),
}


def units_of(name: str, shape: Shape) -> list[nn.Module]:
    """Build the units of torchvision's model ``name``, with weights from torch's generator.

    Args:
        name: one of torchvision's names in :data:`bench.config.backbones.BACKBONES`.
        shape: ``(channels, height, width)`` of the images, of legal sides (``Backbone.refuse_sides``).

    Returns:
        Modules to run one after the other on images ``[B, channels, height, width]``. Each has an output
        ``[B, d, H, W]``, or ``[B, tokens, d]`` in vision transformers, and none writes into its input.

    Raises:
        ValueError: torchvision has no such model.
    """
    family = _family_of(name)
    return family.units(family.build(name, shape, None))


def usual_head(name: str, shape: Shape, classes: int) -> nn.Module:
    """Build what the model ``name`` runs after its units: the last unit's output to logits ``[B, classes]``.

    Raises:
        ValueError: torchvision has no such model.
    """
    family = _family_of(name)
    return family.head(family.build(name, shape, classes))


def build_model(name: str, shape: Shape, classes: int) -> Any:
    """Build torchvision's own model ``name``, changed as images of ``shape`` need it, with logits ``[B, classes]``.

    Raises:
        ValueError: torchvision has no such model.
    """
    return _family_of(name).build(name, shape, classes)


def parts_of(name: str, model: nn.Module) -> tuple[list[nn.Module], nn.Module]:
    """Cut ``model``, torchvision's model ``name``, into units and a head, which share its parameters.

    ``head(units[-1](... units[0](images)))`` are the logits of ``model(images)``.

    Raises:
        ValueError: torchvision has no such model.
    """
    family = _family_of(name)
    return family.units(model), family.head(model)


def _family_of(name: str) -> Family:
    backbone = BACKBONES.get(name)
    if backbone is None or backbone.torchvision_file is None:
        legal = ", ".join(known.name for known in BACKBONES.values() if known.torchvision_file)
        raise ValueError(f"name = {name!r}; legal: {legal}")
    return _FAMILIES[backbone.torchvision_file]
