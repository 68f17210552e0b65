"""Backpropagation in micro-batches: a part of the batch, and of its activations, at a time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork

SUMMARY = "backpropagation in micro-batches (four, if unset) whose gradients add up to the batch's"
USES_ALPHA = False

_USUAL = 4
SETTINGS = {"micro_batches": lambda parts, _cell: parts or _USUAL}


def refusal(cell: "Cell") -> str | None:
    """A part has a sample at least; where the cell leaves their number open, a small batch has fewer parts."""
    if cell.micro_batches is not None and cell.micro_batches > cell.batch_size:
        return f"micro_batches = {cell.micro_batches} for batch_size = {cell.batch_size}; legal: 1 to {cell.batch_size}"
    return None


def accumulate_gradients(
    network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object, *, micro_batches: int = _USUAL
) -> "Tensor":
    """One BP step on the mean over the whole batch; see :mod:`bench.config.methods`.

    The gradients are BP's but for rounding. BatchNorm is the exception: it sees a micro-batch at a time. A batch of
    fewer samples goes through one by one.
    """
    import torch
    import torch.nn.functional as F

    parts = min(micro_batches, len(labels))
    total = torch.zeros((), dtype=images.dtype, device=images.device)
    for some_images, some_labels in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        loss = F.cross_entropy(network(some_images), some_labels, reduction="sum") / len(labels)
        loss.backward()
        total += loss.detach()
    return total
