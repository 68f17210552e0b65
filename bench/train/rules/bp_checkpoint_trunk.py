"""Backpropagation with checkpoints that holds little of the trunk, either."""

from typing import TYPE_CHECKING

from bench.config.catalog import CASCADES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork

SUMMARY = "bp-checkpoint with the trunk in checkpointed segments, too: its blocks, or sqrt(n) of n layers"
USES_ALPHA = False
NETWORKS = CASCADES  # a pipeline has no trunk


def refusal(cell: "Cell") -> str | None:
    """Segments of a compiled trunk would not be compiled."""
    if cell.compile:
        return f"compile = True for method {cell.method!r}, which calls parts of the trunk; legal: False"
    return None


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step with the segments that ``sid-streamed-recompute`` has; see :mod:`bench.config.methods`."""
    from bench.train.rules.bp_checkpoint import train_modules
    from sid_core.steps.recompute import run_in_segments
    from sid_core.steps.segments import segments_of

    return train_modules(network, run_in_segments(segments_of(network.trunk), images), labels)
