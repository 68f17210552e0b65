"""Backpropagation with label smoothing ``1 - alpha``: what SID with one module is, exactly."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork

SUMMARY = "backpropagation with label smoothing 1 - alpha: a control for gains under label noise"
USES_ALPHA = True


def refusal(cell: "Cell") -> str | None:
    """A single loss has no alpha a module."""
    if isinstance(cell.alpha, tuple):
        return f"alpha = {list(cell.alpha)} for method {cell.method!r}; legal: one number in (0, 1]"
    return None


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: float) -> "Tensor":
    """One BP step on smoothed labels (Szegedy et al., arXiv 1512.00567); see :mod:`bench.config.methods`."""
    import torch.nn.functional as F

    loss = F.cross_entropy(network(images), labels, label_smoothing=1 - alpha)
    loss.backward()
    return loss.detach()
