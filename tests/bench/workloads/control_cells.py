"""Cells, networks and batches on which controls for gains under label noise are tested."""

from typing import Any

import torch
from torch import Tensor

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.plan.grid import shape_of
from bench.train.networks.build import build_network
from sid_core import BeliefNetwork

NETWORKS = ["cascade-linear", "cascade-conv", "pipeline-conv"]


def control(method: str, network: str = "cascade-linear", **axes: Any) -> Cell:
    sizes = {"modules": 3, "hidden": 16, "batch_size": 6, "passes": ["memory"], "dataset": "random", "image_size": 8}
    depth = {} if network == "pipeline-conv" else {"depth": 3}
    return make_cell({"method": method, "network": network, **sizes, **depth, **axes})


def build(network: str) -> BeliefNetwork:
    cell = control("bp", network)
    return build_network(cell, *shape_of(cell)).double()


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
    return images, torch.randint(10, (6,), generator=generator)
