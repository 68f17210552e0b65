"""What the families of torchvision's models share: how a model is built for a shape, and how it is cut into units."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from torch import nn
from torchvision.models import get_model

from bench.config.backbone_sides import is_small

Shape = tuple[int, int, int]


class Family:
    """The models of one file of ``torchvision.models``.

    Attributes:
        begins: layers of these types begin a unit; all others belong to the unit before them. A pooling or another
            layer that shrinks the features so ends a unit, and little has to be passed on where stages are cut. No unit
            begins with an activation, which torchvision's models compute in place, so none writes into its input.
    """

    begins: ClassVar[tuple[type[nn.Module], ...]] = ()

    def build(self, name: str, shape: Shape, classes: int | None) -> Any:
        """Torchvision's model ``name``, untrained, for images of ``shape`` (channels, height, width).

        Args:
            name: a name of ``torchvision.models``.
            shape: of the images.
            classes: the logits of its classifier. None: the classifier is not used, and may be missing.
        """
        options = {} if classes is None else {"num_classes": classes}
        model = get_model(name, weights=None, **options, **self.options(shape))
        self.fit(model, shape)
        return model

    def options(self, _shape: Shape) -> dict[str, Any]:
        """Keyword arguments of the models' builders for images of a shape."""
        return {}

    def fit(self, model: Any, shape: Shape) -> None:
        """Changes ``model``, as torchvision builds it for photographs, for images of ``shape``."""
        raise NotImplementedError

    def layers(self, model: Any) -> Iterable[nn.Module]:
        """What ``model`` runs before its head, in order, where :attr:`begins` says which layers begin a unit."""
        raise NotImplementedError

    def units(self, model: Any) -> list[nn.Module]:
        """The units of ``model``, which share its parameters: each maps one tensor to one tensor."""
        return grouped(self.layers(model), self.begins)

    def head(self, model: Any) -> nn.Module:
        """What ``model`` runs on the output of its last unit ``[B, d, H, W]`` or ``[B, tokens, d]``: its own tail."""
        raise NotImplementedError


def opened(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """``layers`` with each plain ``nn.Sequential``, also one in another, replaced by what it holds."""
    for layer in layers:
        if type(layer) is nn.Sequential:
            yield from opened(layer)
        else:
            yield layer


def grouped(layers: Iterable[nn.Module], begins: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """``layers`` as units, where the first and each of the types ``begins`` begins one; identities are left out."""
    groups: list[list[nn.Module]] = []
    for layer in layers:
        if isinstance(layer, nn.Identity):
            continue
        if not groups or isinstance(layer, begins):
            groups.append([])
        groups[-1].append(layer)
    return [group[0] if len(group) == 1 else nn.Sequential(*group) for group in groups]


def fit_stem(stem: Any, shape: Shape, draw: Callable[[nn.Conv2d], object]) -> None:
    """Gives ``stem``, a sequence that begins with a convolution, the channels of ``shape``.

    Where the images are small, the convolution leaves their size as it is. ``draw`` sets new weights as torchvision
    sets those of this convolution; for three channels they stay what they are.
    """
    channels, height, width = shape
    convolution = stem[0]
    if is_small(height, width):
        convolution.stride = (1, 1)
    fit_channels(stem, channels, draw)


def fit_channels(stem: Any, channels: int, draw: Callable[[nn.Conv2d], object]) -> None:
    """Gives the first layer of ``stem`` so many ``channels``, and leaves the size of its output as it is."""
    old = stem[0]
    if channels == old.in_channels:
        return
    stem[0] = nn.Conv2d(channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None)
    draw(stem[0])


def draw_by_fan_out(convolution: nn.Conv2d) -> None:
    """He et al.'s normal weights by the number of outputs; no bias, for BatchNorm has one."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")


def draw_as_usual(_convolution: nn.Conv2d) -> None:
    """Leaves the weights as ``nn.Conv2d`` draws them."""
