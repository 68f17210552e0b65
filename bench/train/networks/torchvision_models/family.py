"""How a family of torchvision's models is built for images of some shape, and how its models are cut into units."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from torch import nn
from torchvision.models import get_model

from bench.config.backbone_sides import Shape, is_small


class Family:
    """The models of one file of ``torchvision.models``.

    Attributes:
        begins: the types of layers that begin a unit. Every other layer belongs to the unit before it. So a pooling
            ends a unit, and the tensors between units are small. An activation never begins a unit: torchvision's
            models compute activations in place, and a unit must not write into its input.
    """

    begins: ClassVar[tuple[type[nn.Module], ...]] = ()

    def build(self, name: str, shape: Shape, classes: int | None) -> Any:
        """Build torchvision's model ``name``, untrained, and fit it to images of ``shape``.

        Args:
            name: a name of ``torchvision.models``.
            shape: ``(channels, height, width)`` of the images.
            classes: the number of classes. None if only the units are used; the classifier may then be missing.
        """
        options = {} if classes is None else {"num_classes": classes}
        model = get_model(name, weights=None, **options, **self.options(shape))
        self.fit(model, shape)
        return model

    def options(self, _shape: Shape) -> dict[str, Any]:
        """Return keyword arguments for torchvision's builder."""
        return {}

    def fit(self, model: Any, shape: Shape) -> None:
        """Change ``model``, which torchvision has built for large colour images, to take images of ``shape``."""
        raise NotImplementedError

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """Return what ``model`` runs before its head, in order."""
        raise NotImplementedError

    def units(self, model: Any) -> list[nn.Module]:
        """Return the units of ``model``, which share its parameters. Each maps one tensor to one tensor."""
        return grouped(self.layers(model), self.begins)

    def head(self, model: Any) -> nn.Module:
        """Return what ``model`` runs after its units, on ``[B, d, H, W]`` or ``[B, tokens, d]``: its own head."""
        raise NotImplementedError


def opened(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield ``layers``, with the layers of a plain ``nn.Sequential`` in its place, at any depth."""
    for layer in layers:
        if type(layer) is nn.Sequential:
            yield from opened(layer)
        else:
            yield layer


def grouped(layers: Iterable[nn.Module], begins: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """Group ``layers`` into units: the first layer and those of the types ``begins`` begin one. Drop identities."""
    groups: list[list[nn.Module]] = []
    for layer in layers:
        if isinstance(layer, nn.Identity):
            continue
        if not groups or isinstance(layer, begins):
            groups.append([])
        groups[-1].append(layer)
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


def fit_stem(stem: Any, shape: Shape, draw: Callable[[nn.Conv2d], object]) -> None:
    """Give the first convolution of ``stem`` the channels of ``shape``, and for small images a stride of 1.

    Args:
        stem: a sequence that begins with a convolution.
        shape: ``(channels, height, width)`` of the images.
        draw: initialises a new convolution as torchvision initialises this one. Three channels need no new one.
    """
    channels, height, width = shape
    convolution = stem[0]
    if is_small(height, width):
        convolution.stride = (1, 1)
    fit_channels(stem, channels, draw)


def fit_channels(stem: Any, channels: int, draw: Callable[[nn.Conv2d], object]) -> None:
    """Give the first convolution of ``stem`` so many input ``channels``; see :func:`fit_stem`."""
    old = stem[0]
    if channels == old.in_channels:
        return
    stem[0] = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
    draw(stem[0])


def draw_by_fan_out(convolution: nn.Conv2d) -> None:
    """Draw normal weights by the number of outputs (He et al., arXiv 1502.01852)."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def draw_as_usual(_convolution: nn.Conv2d) -> None:
    """Keep the weights that ``nn.Conv2d`` has drawn."""
