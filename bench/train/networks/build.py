"""The network of a cell: the same weights for every method."""

import math
from itertools import pairwise

import torch
from torch import nn

from bench.config.axes import values_of
from bench.config.cell import Cell
from bench.config.check import refuse_sides
from bench.config.networks import Shape, load_network
from bench.errors import ConfigError
from bench.train.networks.cuts import balanced_cut, even_cut
from bench.train.networks.own import build
from bench.train.networks.units import build_units, unit_sizes
from sid_core import BeliefNetwork, Cascade, Pipeline, cascade, convolutional_trunk, linear_trunk
from sid_core.pipeline import pool


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
        return _cut_into_stages(built, cell, shape, classes)
    if len(built.local_modules) != cell.modules:
        raise ConfigError(
            f"network {cell.network!r} has {len(built.local_modules)} modules for modules = {cell.modules}; legal: as "
            "many as the cell says"
        )
    return built


def _cut_into_stages(units: list[nn.Module], cell: Cell, shape: Shape, classes: int) -> Pipeline:
    """``units`` in ``cell.modules`` stages, each with a head on its pooled features."""
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
    stages = [nn.Sequential(*units[start:end]) for start, end in pairwise([0, *ends])]
    return Pipeline.with_heads(stages, [sizes[end - 1].width for end in ends], classes, cell.hidden)


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
    trunk = nn.Sequential(*units, _Pool(), nn.Linear(last.width, width))
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
    shape: Shape, classes: int, modules: int, depth: int, width: int, hidden: int
) -> Pipeline:
    """``depth`` linear layers of ``width`` features, each with a ReLU, cut into ``modules`` stages."""
    inputs = math.prod(shape)
    units = [nn.Sequential(nn.Linear(inputs if at == 0 else width, width), nn.ReLU()) for at in range(depth)]
    units[0].insert(0, nn.Flatten())
    per_stage = depth // modules
    stages = [nn.Sequential(*units[at : at + per_stage]) for at in range(0, depth, per_stage)]
    return Pipeline.with_heads(stages, [width] * modules, classes, hidden)


class _Pool(nn.Module):
    """:func:`sid_core.pipeline.pool`: the mean over pixels or tokens."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return pool(features)
