"""AlexNet, VGG, SqueezeNet, GoogLeNet and Inception v3: networks without residual connections."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torchvision.models import squeezenet, vgg

from bench.train.networks.torchvision_models.family import (
    Family,
    Shape,
    draw_as_usual,
    draw_by_fan_out,
    fit_channels,
    opened,
)


class AlexNet(Family):
    """AlexNet (Krizhevsky, arXiv 1404.5997), one unit per convolution, as published for every size."""

    begins = (nn.Conv2d,)

    def fit(self, model: Any, shape: Shape) -> None:
        """The first convolution's channels."""
        fit_channels(model.features, shape[0], draw_as_usual)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """Convolutions, activations and poolings."""
        return opened(model.features)

    def head(self, model: Any) -> nn.Module:
        """Mean over regions and classifier."""
        return nn.Sequential(model.avgpool, nn.Flatten(), model.classifier)


class VGG(AlexNet):
    """VGG (Simonyan and Zisserman, arXiv 1409.1556), with or without BatchNorm, one unit per convolution.

    Once the shorter side is one pixel, what follows is not pooled.
    """

    def build(self, name: str, shape: Shape, classes: int | None) -> Any:
        """As the other families; without ``classes`` no random number is drawn for the classifier.

        It has nine tenths of the parameters, and the records of VGG-11 were measured without it.
        """
        if classes is not None:
            return super().build(name, shape, classes)
        layers, _, norm = name.removeprefix("vgg").partition("_")
        letter = {"11": "A", "13": "B", "16": "D", "19": "E"}[layers]
        model = _Convolutions(vgg.make_layers(vgg.cfgs[letter], batch_norm=bool(norm)))
        self.fit(model, shape)
        return model

    def fit(self, model: Any, shape: Shape) -> None:
        """The first convolution's channels, as many poolings as fit, and weights as torchvision draws them."""
        channels, height, width = shape
        side = min(height, width)
        layers: list[nn.Module] = []
        for layer in model.features:
            if isinstance(layer, nn.MaxPool2d):
                if side == 1:
                    continue
                side //= 2
            elif isinstance(layer, nn.Conv2d):
                if not layers:
                    layer = nn.Conv2d(channels, layer.out_channels, 3, padding=1)
                draw_by_fan_out(layer)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            layers.append(layer)
        model.features = nn.Sequential(*layers)


class _Convolutions(nn.Module):
    """A VGG without its classifier."""

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features


class SqueezeNet(Family):
    """SqueezeNet 1.0 and 1.1 (Iandola et al., arXiv 1602.07360), as published for every size."""

    begins = (squeezenet.Fire,)

    def fit(self, model: Any, shape: Shape) -> None:
        """The first convolution's channels."""
        fit_channels(model.features, shape[0], _draw_uniform)

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """A convolution, fire modules and poolings."""
        return opened(model.features)

    def head(self, model: Any) -> nn.Module:
        """A convolution to a map per class, and their means."""
        return nn.Sequential(model.classifier, nn.Flatten())


def _draw_uniform(convolution: nn.Conv2d) -> None:
    nn.init.kaiming_uniform_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


class Inception(Family):
    """GoogLeNet (arXiv 1409.4842) and Inception v3 (arXiv 1512.00567), as published for every size.

    They have no auxiliary classifiers: a pipeline has heads of its own, and BP has none.
    """

    begins = (nn.Module,)

    def __init__(self, deviation: float) -> None:
        self._deviation = deviation  # of the weights of the first convolution

    def options(self, _shape: Shape) -> dict[str, Any]:
        """No auxiliary classifiers, and torchvision's usual weights, which it wants to be asked for."""
        return {"aux_logits": False, "init_weights": True}

    def fit(self, model: Any, shape: Shape) -> None:
        """The first convolution's channels."""
        first = next(model.children())
        stem = nn.Sequential(first.conv)
        fit_channels(stem, shape[0], lambda new: nn.init.trunc_normal_(new.weight, std=self._deviation, a=-2, b=2))
        first.conv = stem[0]

    def units(self, model: Any) -> list[nn.Module]:
        """Convolutions and inception modules; poolings end units."""
        units: list[nn.Module] = []
        for layer in model.children():
            if isinstance(layer, nn.AdaptiveAvgPool2d):
                break
            if isinstance(layer, nn.MaxPool2d):
                units[-1] = nn.Sequential(units[-1], layer)
            else:
                units.append(layer)
        return units

    def head(self, model: Any) -> nn.Module:
        """Mean and classifier."""
        return nn.Sequential(model.avgpool, nn.Flatten(), model.dropout, model.fc)
