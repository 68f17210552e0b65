"""AugLocal's heads: a few of the units that are still to come, with weights of their own.

Ma et al., "Scaling supervised local learning with augmented auxiliary networks" (arXiv 2402.17318). With ``L`` units
after a stage, its head has ``d`` of them, the units ``round(L i / d)`` for ``i`` = 1 to ``d``, so always the last one;
then the mean over positions and a linear layer. ``d`` falls linearly from the first stage to the last but one,
``d = round((1 - tau (stage - 1) / (stages - 2)) d_1)``, with the paper's ``tau`` = 0.5. The last stage has the linear
layer alone, which is the classifier of the backbone.

The paper treats ResNets and VGG, and rebuilds a sampled layer for the channels that reach it. Here any unit may be
sampled, so it keeps its own sizes: what reaches it is pooled to its side, and a 1x1 convolution (or a linear layer)
changes the number of channels. ``d_1`` is 3; the paper tries 1 to 9 residual blocks. The heads count, as all heads do.
"""

from itertools import pairwise

from torch import nn

from bench.errors import ConfigError
from bench.train.networks.heads import Features, LaterUnits, Mean, PositionalHead, width_of

MOST_UNITS = 3
_PYRAMID = 0.5


def augmented_head(features: Features, classes: int, stage: int, stages: int, later: LaterUnits) -> PositionalHead:
    """The head of one stage, see the module.

    Raises:
        ConfigError: a unit to come takes features of another kind, tokens in place of maps.
    """
    places = sampled_places(len(later.inputs), units_in_head(stage, stages))
    units = later.draw() if places else []
    shape = features
    body: list[nn.Module] = []
    for place in places:
        body += [*_adapter(shape, later.inputs[place]), units[place]]
        shape = _output(later, place)
    body.append(Mean())
    return PositionalHead(nn.Sequential(*body), nn.Linear(width_of(shape), classes), nn.Identity(), classes)


def units_in_head(stage: int, stages: int) -> int:
    """The number of units in the head of a stage, counted from 1; 0 for the last stage."""
    if stage == stages:
        return 0
    share = (stage - 1) / (stages - 2) if stages > 2 else 0.0
    return max(1, round((1 - _PYRAMID * share) * MOST_UNITS))


def sampled_places(later: int, units: int) -> list[int]:
    """The places of ``units`` units among ``later`` ones, from 0, evenly and with the last; at most all."""
    units = min(units, later)
    ends = [round(later * index / units) for index in range(units + 1)] if units else [0]
    return [end - 1 for _, end in pairwise(ends)]


def _output(later: LaterUnits, place: int) -> Features:
    """The shape of what the unit at ``place`` gives."""
    shapes = [*later.inputs[1:], later.output]
    shape = shapes[place]
    assert shape is not None  # noqa: S101 (there is a later unit)
    return shape


def _adapter(given: Features, wanted: Features) -> list[nn.Module]:
    """Pooling and a 1x1 convolution where the features that are given differ from those that a unit takes."""
    if len(given) != len(wanted):
        raise ConfigError(
            f"head = 'aug' for features [B, {', '.join(map(str, given))}] and a later unit that takes "
            f"[B, {', '.join(map(str, wanted))}]; legal: linear, mlp"
        )
    adapter: list[nn.Module] = []
    if len(given) == 3 and given[1:] != wanted[1:]:
        adapter.append(nn.AdaptiveAvgPool2d(wanted[1:]))
    if width_of(given) != width_of(wanted):
        sizes = width_of(given), width_of(wanted)
        adapter.append(nn.Conv2d(*sizes, 1) if len(given) == 3 else nn.Linear(*sizes))
    return adapter
