"""Backpropagation with label smoothing ``1 - alpha``: what SID with one module is, exactly."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sid_core import BeliefNetwork

SUMMARY = "backpropagation with label smoothing 1 - alpha: a control for gains under label noise"
USES_ALPHA = True


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", alpha: float) -> "Tensor":
    """One BP step on smoothed labels (Szegedy et al., arXiv 1512.00567); see :mod:`bench.methods`.

    Raises:
        ValueError: ``alpha`` is not one number: a single loss has no alpha a module.
    """
    import torch.nn.functional as F

    if not isinstance(alpha, float):
        raise ValueError(f"bp-label-smoothing takes alpha as one number, not {alpha!r}")
    loss = F.cross_entropy(network(images), labels, label_smoothing=1 - alpha)
    loss.backward()
    return loss.detach()
