"""SID, all modules at once."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID vectorised: the same gradients, same-shaped modules in a few large products"
USES_ALPHA = True
OBJECTIVE = True


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.vectorised_step`."""
    from sid_core import vectorised_step

    return vectorised_step(network, images, labels, alpha, **objective)
