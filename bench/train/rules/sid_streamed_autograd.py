"""SID module by module through autograd: what streaming costs without the hand-written backward pass."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID streamed through autograd: a control that shows what the closed-form backward pass is worth"
USES_ALPHA = True
OBJECTIVE = True


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **objective: Any
) -> "Tensor":
    """:func:`sid_core.streamed_step` with ``closed_form=False``."""
    from sid_core import streamed_step

    return streamed_step(network, images, labels, alpha, closed_form=False, **objective)
