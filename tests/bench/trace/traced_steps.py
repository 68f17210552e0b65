"""Traced steps of small cells, which several tests look at."""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from bench.analysis.step_trace.breakdown import Breakdown, break_down
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.measure.trace.step_trace import trace_memory
from bench.store.traced_step import TracedStep
from bench.train.step import TrainingStep, build_step

SHAPE, CLASSES = (1, 8, 8), 10
# Each way of holding and recomputing activations, on cascades and on pipelines, and rules with modules of their own.
CASES: dict[str, dict[str, Any]] = {
    "bp": {"method": "bp"},
    "bp with a convolutional trunk": {"method": "bp", "network": "cascade-conv"},
    "bp with checkpoints": {"method": "bp", "recompute": "modules"},
    "bp in micro-batches": {"method": "bp", "micro_batches": 2},
    "bp, step in backward": {"method": "bp-step-in-backward"},
    "published": {"method": "sid-published"},
    "streamed": {"method": "sid-streamed"},
    "streamed by autograd": {"method": "sid-streamed-autograd"},
    "streamed, trunk recomputed": {"method": "sid-streamed", "network": "cascade-conv", "recompute": "trunk"},
    "streamed in turn": {"method": "sid-streamed-in-turn"},
    "streamed in bfloat16": {"method": "sid-streamed", "precision": "bfloat16"},
    "vectorised": {"method": "sid-vectorised"},
    "bp on a pipeline": {"method": "bp", "network": "pipeline-conv"},
    "bp on a pipeline with checkpoints": {"method": "bp", "network": "pipeline-conv", "recompute": "modules"},
    "streamed on a pipeline": {"method": "sid-streamed", "network": "pipeline-conv"},
    "dgl": {"method": "dgl", "network": "pipeline-conv"},
    "infopro": {"method": "infopro", "network": "pipeline-conv"},
    "noprop": {"method": "noprop"},
    "dfa": {"method": "dfa", "network": "pipeline-conv"},
}


def cell_of(case: str) -> Cell:
    axes = {"dataset": "random", "modules": 3, "hidden": 16, "batch_size": 8, "passes": ["memory"], **CASES[case]}
    if not axes.get("network", "").startswith("pipeline"):
        axes["depth"] = 3
    return make_cell(axes)


def made_step(case: str) -> tuple[TrainingStep, Tensor, Tensor]:
    """The step of a case, and its batch."""
    cell = cell_of(case)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(cell.batch_size, *SHAPE, generator=generator)
    return build_step(cell, SHAPE, CLASSES, samples=32), images, torch.arange(cell.batch_size)


@cache
def traced(case: str) -> TracedStep:
    """A step of the case, traced once for all tests."""
    return trace_memory(*made_step(case))


@cache
def broken_down(case: str) -> Breakdown:
    """The breakdown of that step."""
    return break_down(traced(case))
