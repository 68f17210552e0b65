"""SID module by module, with the trunk computed again when its turn comes to run backward."""

from typing import TYPE_CHECKING, Any

from bench.config.catalog import CASCADES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID streamed, holding nothing of the trunk: it is computed again, in checkpointed segments"
USES_ALPHA = True
OBJECTIVE = True
NETWORKS = CASCADES  # a pipeline has no trunk


def refusal(cell: "Cell") -> str | None:
    """Segments of a compiled trunk would not be compiled."""
    if cell.compile:
        return f"compile = True for method {cell.method!r}, which calls parts of the trunk; legal: False"
    return None


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.streamed_step` with ``recompute_trunk=True``."""
    from sid_core import streamed_step

    return streamed_step(network, images, labels, alpha, recompute_trunk=True, **objective)
