"""The network of a cell: the same weights for every method."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from bench.config.axes import values_of
from bench.config.cell import Cell
from bench.config.cell_rules import refuse_sides
from bench.config.networks import Network, Shape, load_network
from bench.errors import ConfigError
from bench.train.networks.cuts import balanced_cut, even_cut
from bench.train.networks.heads import Features, LaterUnits, Mean, build_heads, width_of
from bench.train.networks.own import build
from bench.train.networks.units import build_units, refuse_output, unit_sizes
from sid_core import BeliefNetwork, Cascade, Pipeline, cascade, convolutional_trunk, linear_trunk


def build_network(cell: Cell, shape: Shape, classes: int) -> BeliefNetwork:
    """The network of ``cell`` for images of ``shape`` (channels, height, width), with weights drawn from its seed.

    The weights of units are drawn before those of the heads, so that they are the same for every cut.

    Raises:
        ConfigError: the network does not take images of this size, or its builder gives another network than the cell
            says.
    """
    torch.manual_seed(cell.seed)
    network = load_network(cell.network)
    refuse_sides(network, *shape[1:])
    built = build(network, {**values_of(cell), "shape": shape, "classes": classes})
    if not isinstance(built, BeliefNetwork):
        return _cut_into_stages(built, cell, shape, classes, lambda: _units_again(network, cell, shape, classes))
    if len(built.local_modules) != cell.modules:
        raise ConfigError(
            f"network {cell.network!r} has {len(built.local_modules)} modules for modules = {cell.modules}; legal: as "
            "many as the cell says"
        )
    return built


def _units_again(network: Network, cell: Cell, shape: Shape, classes: int) -> list[nn.Module]:
    """The units of ``network`` with other weights; those of a list of modules have the same."""
    units = build(network, {**values_of(cell), "shape": shape, "classes": classes})
    assert not isinstance(units, BeliefNetwork)  # noqa: S101 (it has given units before)
    return units


def _cut_into_stages(
    units: list[nn.Module], cell: Cell, shape: Shape, classes: int, draw: Callable[[], list[nn.Module]]
) -> Pipeline:
    """``units`` in ``cell.modules`` stages, each with a head; ``draw`` gives new units."""
    if len(units) != cell.depth:
        raise ConfigError(
            f"network {cell.network!r} has {len(units)} units for images of shape {list(shape)}; the cell has depth = "
            f"{cell.depth}"
        )
    sizes = unit_sizes(units, shape)
    if cell.cut == "balanced":
        ends = balanced_cut([unit.kept_bytes for unit in sizes], [unit.output_bytes for unit in sizes], cell.modules)
    else:
        ends = even_cut(len(sizes), cell.modules)
    for end in ends:
        refuse_output(sizes[end - 1])
    stages = [nn.Sequential(*units[start:end]) for start, end in pairwise([0, *ends])]
    outputs = [unit.output for unit in sizes]
    heads = _heads(cell.head, outputs, ends, classes, cell.hidden, draw)
    return Pipeline(stages, heads, classes)


def _heads(
    name: str,
    outputs: Sequence[Features],
    ends: Sequence[int],
    classes: int,
    hidden: int,
    draw: Callable[[], list[nn.Module]],
) -> list[nn.Module]:
    """The heads of stages that end after so many units, whose outputs have the shapes ``outputs``."""
    later = [
        LaterUnits(
            tuple(outputs[end - 1 : -1]),
            outputs[-1] if end < len(outputs) else None,
            lambda end=end: draw()[end:],  # type: ignore[misc]
        )
        for end in ends
    ]
    return build_heads(name, [outputs[end - 1] for end in ends], later, classes, hidden)


def backbone_units(shape: Shape, backbone: str) -> list[nn.Module]:
    """The units of a backbone."""
    return build_units(backbone, shape)


def cascade_on_backbone(
    shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int, backbone: str
) -> Cascade:
    """A cascade whose trunk is a whole backbone: its units, a mean over positions and a linear layer.

    The units have the weights that they have in the pipeline of the same backbone.
    """
    units = build_units(backbone, shape)
    *_, last = unit_sizes(units, shape)
    trunk = nn.Sequential(*units, Mean(), nn.Linear(width_of(last.output), width))
    return cascade(modules, classes, shape[0], width, hidden, depth=depth, trunk=trunk)


def cascade_on_convolutions(shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int) -> Cascade:
    """The authors' network."""
    trunk = convolutional_trunk(shape[0], width)
    return cascade(modules, classes, shape[0], width, hidden, depth=depth, trunk=trunk)


def cascade_on_linear_layer(shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int) -> Cascade:
    """A cascade on one linear layer."""
    trunk = linear_trunk(math.prod(shape), width)
    return cascade(modules, classes, shape[0], width, hidden, depth=depth, trunk=trunk)


def pipeline_of_linear_layers(
    shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int, head: str
) -> Pipeline:
    """``depth`` linear layers of ``width`` features, each with a ReLU, cut into ``modules`` stages."""
    units = _linear_layers(math.prod(shape), width, depth)
    per_stage = depth // modules
    stages = [nn.Sequential(*units[at : at + per_stage]) for at in range(0, depth, per_stage)]
    ends = range(per_stage, depth + 1, per_stage)
    draw = partial(_linear_layers, math.prod(shape), width, depth)
    return Pipeline(stages, _heads(head, [(width,)] * depth, ends, classes, hidden, draw), classes)


def _linear_layers(inputs: int, width: int, depth: int) -> list[nn.Module]:
    units = [nn.Sequential(nn.Linear(inputs if at == 0 else width, width), nn.ReLU()) for at in range(depth)]
    units[0].insert(0, nn.Flatten())
    return [*units]
