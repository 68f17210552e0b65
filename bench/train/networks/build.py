"""The networks, built from a cell: the same weights for every method."""

import math

import torch
from torch import nn

from bench.config.catalog import BACKBONE_TRUNKS, BACKBONE_UNITS, refuse_sides
from bench.config.cell import Cell
from bench.errors import ConfigError
from bench.train.networks.backbones import build_pipeline, build_trunk
from sid_core import BeliefNetwork, Pipeline, cascade, convolutional_trunk, linear_trunk


def build_network(cell: Cell, shape: tuple[int, int, int], classes: int) -> BeliefNetwork:
    """The network of ``cell`` for images of ``shape`` (channels, height, width), with weights drawn from its seed.

    Raises:
        ConfigError: the network does not take images of this size.
    """
    channels, height, width = shape
    reason = refuse_sides(cell.network, height, width)
    if reason is not None:
        raise ConfigError(reason)
    torch.manual_seed(cell.seed)
    if cell.network in BACKBONE_UNITS:
        return build_pipeline(cell, shape, classes)
    if cell.network == "pipeline-linear":
        return _linear_pipeline(cell, math.prod(shape), classes)
    if cell.network == "cascade-linear":
        trunk = linear_trunk(math.prod(shape), cell.width)
    elif cell.network in BACKBONE_TRUNKS:
        trunk = build_trunk(cell, shape)
    else:
        trunk = convolutional_trunk(channels, cell.width)
    return cascade(cell.modules, classes, channels, cell.width, cell.hidden, depth=cell.depth, trunk=trunk)


def _linear_pipeline(cell: Cell, inputs: int, classes: int) -> Pipeline:
    """``cell.depth`` linear layers of ``cell.width`` features, each with a ReLU, cut into ``cell.modules`` stages."""
    units = [
        nn.Sequential(nn.Linear(inputs if at == 0 else cell.width, cell.width), nn.ReLU()) for at in range(cell.depth)
    ]
    units[0].insert(0, nn.Flatten())
    a_stage = cell.depth // cell.modules
    stages = [nn.Sequential(*units[at : at + a_stage]) for at in range(0, cell.depth, a_stage)]
    return Pipeline.with_heads(stages, [cell.width] * cell.modules, classes, cell.hidden)
