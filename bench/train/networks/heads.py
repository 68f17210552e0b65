"""The heads of a pipeline's stages, and what makes them.

A head maps ``(belief [B, C], features)`` to logits ``[B, C]``. The linear head is :class:`sid_core.LocalModule`. The
others see the features at their positions. The belief enters their first linear layer beside the features, as in the
linear head, less the uniform belief: ``W [features, p_{i-1} - 1/C]``. So a rule without beliefs gives each head
``p_0``, which then changes neither logits nor gradients: the head is the one that its paper describes.

``mlp``, ``mlp-sr`` and ``conv`` are those of decoupled greedy learning (Belilovsky et al., arXiv 1901.08164). They
differ from the authors' code in two points. Their code counts the side of a stage's output from 32, whatever the image;
here it is the true side. And their code has an MLP with a BatchNorm that no input ever reaches, which is left out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from bench.config.heads import load_head
from bench.config.plugins import call_with_known, resolve
from bench.errors import ConfigError
from sid_core import LocalModule
from sid_core.pipeline import pool

Features = tuple[int, ...]  # (d, H, W), (tokens, d) or (d,)

_MLP_LAYERS = 3
_LAST_MLP_LAYERS = 2  # of the last stage, in the authors' code
_CONV_LAYERS = 2
_POOLED_SIDE = 2
_PART_OF_SIDE = 4


@dataclass(frozen=True)
class LaterUnits:
    """The units of a backbone that come after a stage.

    Attributes:
        inputs: the shape of what each takes, without the batch.
        output: the shape of what the last unit of the backbone gives; None where no unit comes after the stage.
        draw: gives new ones, with weights of their own.
    """

    inputs: tuple[Features, ...]
    output: Features | None
    draw: Callable[[], list[nn.Module]]


class PositionalHead(nn.Module):
    """A head that sees features at their positions: ``rest(first(body(features)) + belief(p_{i-1} - 1/C))``.

    Args:
        body: ``features -> [B, n]``.
        first: linear, ``n`` to any width.
        rest: from that width to logits ``[B, C]``; nothing where ``first`` gives the logits.
        classes: C.
    """

    takes_positions = True

    def __init__(self, body: nn.Module, first: nn.Linear, rest: nn.Module, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.body = body
        self.first = first
        self.belief = nn.Linear(classes, first.out_features, bias=False)
        # The bound of PyTorch's linear layer that takes belief and features together.
        bound = (first.in_features + classes) ** -0.5
        nn.init.uniform_(self.belief.weight, -bound, bound)
        self.rest = rest

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        """The logits, ``[B, C]``, for ``belief`` ``[B, C]`` and a stage's ``features``."""
        logits: Tensor = self.rest(self.first(self.body(features)) + self.belief(belief - 1 / self.classes))
        return logits


class Mean(nn.Module):
    """:func:`sid_core.pipeline.pool`: the mean over pixels or tokens."""

    def forward(self, features: Tensor) -> Tensor:
        """``[B, d]`` for ``features`` ``[B, d, H, W]``, ``[B, tokens, d]`` or ``[B, d]``."""
        return pool(features)


def build_heads(
    name: str, outputs: Sequence[Features], later: Sequence[LaterUnits], classes: int, hidden: int
) -> list[nn.Module]:
    """The heads of all stages, first to last.

    Args:
        name: of a row of :mod:`bench.config.heads`.
        outputs: the shape of each stage's output, without the batch.
        later: the units after each stage.
        classes: C.
        hidden: the width of hidden layers, for heads that read it.

    Raises:
        ConfigError: there is no such head, or it does not take a stage's features.
    """
    row = load_head(name)
    builder = resolve(row.builder)
    heads = []
    for stage, (features, units) in enumerate(zip(outputs, later, strict=True), 1):
        known = {"features": features, "classes": classes, "hidden": hidden}
        known |= {"stage": stage, "stages": len(outputs), "later": units}
        head = call_with_known(builder, {**known, **row.keywords}, ("features", "classes"), f"head {name!r}")
        if not isinstance(head, nn.Module):
            raise ConfigError(f"head {name!r} gives a {type(head).__name__}; legal: a torch.nn.Module")
        heads.append(head)
    return heads


def width_of(features: Features) -> int:
    """``d`` of ``(d, H, W)``, ``(tokens, d)`` or ``(d,)``."""
    return features[-1] if len(features) == 2 else features[0]


def linear_head(features: Features, classes: int, hidden: int) -> LocalModule:
    """Belief and pooled features, one hidden layer, classes."""
    return LocalModule(width_of(features), classes, hidden)


def mlp_head(features: Features, classes: int, stage: int, stages: int, convolutions: int = 0) -> PositionalHead:
    """DGL's ``mlp`` and, with ``convolutions``, ``mlp-sr``; the head of the last stage is a shorter ``mlp``.

    Features ``[B, d, H, W]`` are pooled to a quarter of each side, pass ``convolutions`` times a 1x1 convolution,
    BatchNorm and ReLU, are pooled to 2x2 positions, and pass linear layers of ``4d`` features with BatchNorm and ReLU.
    Tokens are treated as a row of positions: a sixteenth of them, then 4. Features ``[B, d]`` have one position, and
    nothing is pooled.
    """
    is_last = stage == stages
    body = _pointwise(features, 0 if is_last else convolutions)
    body += [*_pooled_to(features, _POOLED_SIDE), nn.Flatten()]
    width = width_of(features) * (1 if len(features) == 1 else _POOLED_SIDE**2)
    layers = _LAST_MLP_LAYERS if is_last else _MLP_LAYERS
    first = nn.Linear(width, width)
    rest: list[nn.Module] = [nn.BatchNorm1d(width), nn.ReLU()]
    for _ in range(layers - 1):
        rest += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()]
    rest.append(nn.Linear(width, classes))
    return PositionalHead(channels_first(features, body), first, nn.Sequential(*rest), classes)


def convolutional_head(features: Features, classes: int, stage: int, stages: int) -> PositionalHead:
    """DGL's ``cnn``: two 3x3 convolutions with BatchNorm and ReLU, 2x2 positions, BatchNorm, one linear layer.

    Raises:
        ConfigError: the features are not maps.
    """
    if len(features) != 3:
        raise ConfigError(
            f"head = 'conv' for a stage with features [B, {', '.join(map(str, features))}]; legal for them: linear, "
            "mlp, mlp-sr, aug"
        )
    if stage == stages:
        return mlp_head(features, classes, stage, stages)
    width = features[0]
    body: list[nn.Module] = []
    for _ in range(_CONV_LAYERS):
        body += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    body += [*_pooled_to(features, _POOLED_SIDE), nn.BatchNorm2d(width), nn.Flatten()]
    first = nn.Linear(width * _POOLED_SIDE**2, classes)
    return PositionalHead(nn.Sequential(*body), first, nn.Identity(), classes)


def _pointwise(features: Features, layers: int) -> list[nn.Module]:
    """Pooling to a quarter of each side, and convolutions of one position."""
    width = width_of(features)
    body: list[nn.Module] = []
    if len(features) == 3:
        _, height, breadth = features
        body.append(nn.AdaptiveAvgPool2d((math.ceil(height / _PART_OF_SIDE), math.ceil(breadth / _PART_OF_SIDE))))
    elif len(features) == 2:
        body.append(nn.AdaptiveAvgPool1d(math.ceil(features[0] / _PART_OF_SIDE**2)))
    for _ in range(layers):
        if len(features) == 3:
            body += [nn.Conv2d(width, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        elif len(features) == 2:
            body += [nn.Conv1d(width, width, 1, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        else:
            body += [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return body


def _pooled_to(features: Features, side: int) -> list[nn.Module]:
    """Pooling to ``side`` squared positions."""
    if len(features) == 3:
        return [nn.AdaptiveAvgPool2d(side)]
    return [nn.AdaptiveAvgPool1d(side**2)] if len(features) == 2 else []


def channels_first(features: Features, body: list[nn.Module]) -> nn.Sequential:
    """``body``, which takes channels first, for ``features``: tokens ``[B, tokens, d]`` have them last."""
    return nn.Sequential(*([_ChannelsFirst()] if len(features) == 2 else []), *body)


class _ChannelsFirst(nn.Module):
    """``[B, tokens, d]`` to ``[B, d, tokens]``."""

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, d, tokens]`` for ``tokens`` ``[B, tokens, d]``."""
        return tokens.transpose(1, 2)
