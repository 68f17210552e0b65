"""Backpropagation whose activations wait in the host's memory."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork

SUMMARY = "backpropagation with activations moved to pinned memory of the host (torch.autograd.graph.save_on_cpu)"
USES_ALPHA = False
NOT_PLANNED = "it moves bytes from the device to the host, and a plan knows one of them only"


def refusal(cell: "Cell") -> str | None:
    """On the CPU there is nowhere to move activations to; compiled code keeps its own."""
    if cell.device == "cpu":
        return f"device = 'cpu' for method {cell.method!r}; legal: cuda or cuda:N"
    if cell.compile:
        return f"compile = True for method {cell.method!r}; legal: False"
    return None


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step that copies what it keeps to the host, and back when it is needed."""
    import torch.nn.functional as F
    from torch.autograd.graph import save_on_cpu

    with save_on_cpu(pin_memory=True):
        loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.detach()
