"""SID module by module, with each module updated before the next is run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork
    from sid_core.objective import Alpha

SUMMARY = "SID streamed with an optimizer a module: one module's gradients at a time, the same weights"
USES_ALPHA = True
OBJECTIVE = True
PER_MODULE_OPTIMIZERS = True


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: "Alpha", **options: Any
) -> "Tensor":
    """:func:`sid_core.streamed_step` with ``optimizers``, which come with the objective."""
    from sid_core import streamed_step

    return streamed_step(network, images, labels, alpha, **options)
