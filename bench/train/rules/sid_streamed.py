"""SID module by module."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID streamed: the same gradients, one module's activations at a time, no teacher pass"
USES_ALPHA = True
OBJECTIVE = True


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.streamed_step`."""
    from sid_core import streamed_step

    return streamed_step(network, images, labels, alpha, **objective)
