"""Backbones in stages, for pipelines, and as trunks of cascades.

They are untrained and have no classifiers: each stage of a pipeline has a head of its own, and a trunk ends as the
authors' does, with a mean and a linear layer.
"""

from itertools import pairwise

from torch import Tensor, nn

from bench.config.backbone_sides import Shape
from bench.config.cell import Cell
from bench.train.networks.cuts import balanced_cut, even_cut
from bench.train.networks.units import build_units, unit_sizes
from sid_core import Pipeline
from sid_core.pipeline import pool


def build_pipeline(cell: Cell, shape: Shape, classes: int) -> Pipeline:
    """Build the backbone of ``cell``, a ``pipeline-NAME``, in ``cell.modules`` stages with heads.

    The backbone's weights are drawn before the heads', so that they are the same for every cut.

    Args:
        cell: its network, modules, cut and hidden units are read.
        shape: ``(channels, height, width)`` of the images.
        classes: the number of classes.
    """
    backbone = cell.network.removeprefix("pipeline-")
    sizes = unit_sizes(backbone, shape)
    if cell.cut == "balanced":
        ends = balanced_cut([unit.kept_bytes for unit in sizes], [unit.output_bytes for unit in sizes], cell.modules)
    else:
        ends = even_cut(len(sizes), cell.modules)
    units = build_units(backbone, shape)
    stages = [nn.Sequential(*units[start:end]) for start, end in pairwise([0, *ends])]
    return Pipeline.with_heads(stages, [sizes[end - 1].width for end in ends], classes, cell.hidden)


def build_trunk(cell: Cell, shape: Shape) -> nn.Sequential:
    """Build the backbone of ``cell``, a ``cascade-NAME``, as a trunk: images ``[B, *shape]`` to ``[B, cell.width]``.

    Its units are those of ``pipeline-NAME``, with the same weights.
    """
    backbone = cell.network.removeprefix("cascade-")
    *_, last = unit_sizes(backbone, shape)
    return nn.Sequential(*build_units(backbone, shape), _Pool(), nn.Linear(last.width, cell.width))


class _Pool(nn.Module):
    """:func:`sid_core.pipeline.pool`: the mean over pixels or tokens."""

    def forward(self, features: Tensor) -> Tensor:
        return pool(features)
