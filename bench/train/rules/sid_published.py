"""SID as the paper writes it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID as published: a teacher pass, then all local losses in one graph (arXiv 2510.03273)"
USES_ALPHA = True
OBJECTIVE = True


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.published_step`."""
    from sid_core import published_step

    return published_step(network, images, labels, alpha, **objective)
