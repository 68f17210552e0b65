"""SID, all modules at once."""

from typing import TYPE_CHECKING, Any

from bench.config.catalog import CASCADES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID vectorised: the same gradients, same-shaped modules in a few large products"
USES_ALPHA = True
OBJECTIVE = True
SETTINGS = {"chunk": lambda chunk, cell: min(chunk or cell.modules, cell.modules)}
NETWORKS = CASCADES  # a pipeline's stages differ, and each needs the features of the one before


def refusal(cell: "Cell") -> str | None:
    """Stacked modules are not compiled."""
    if cell.compile:
        return f"compile = True for method {cell.method!r}, which calls no module; legal: False"
    return None


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **options: Any
) -> "Tensor":
    """:func:`sid_core.vectorised_step`; ``options`` are the objective's and ``chunk``."""
    from sid_core import vectorised_step

    return vectorised_step(network, images, labels, alpha, **options)
