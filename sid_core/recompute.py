"""A trunk that is run again, segment by segment, when its gradient is there."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import checkpoint

from sid_core.closed_form import is_hooked


def run_to_repeat(trunk: nn.Module, images: Tensor) -> tuple[Tensor, Callable[[Tensor], None] | None]:
    """The features of ``trunk`` for ``images``, and what takes it backward, running it again (:func:`run_in_segments`).

    Args:
        trunk: any ``images -> features``.
        images: ``[B, ...]``; kept for the second run.

    Returns:
        The features, without a graph, and a function of their gradient that adds to ``.grad`` of the trunk's
        parameters; None where nothing in the trunk learns.

    Raises:
        ValueError: as for :func:`run_in_segments`.
    """
    if not (images.requires_grad or any(parameter.requires_grad for parameter in trunk.parameters())):
        with torch.no_grad():
            return trunk(images).detach(), None
    with torch.enable_grad():
        features = run_in_segments(trunk, images)
    if not features.requires_grad:
        return features.detach(), None
    output = get_gradient_edge(features)
    buffers = [(buffer, buffer.detach().clone()) for buffer in trunk.buffers()]

    def run_backward(gradient: Tensor) -> None:
        torch.autograd.backward(output, gradient)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)

    return features.detach(), run_backward


def run_in_segments(trunk: nn.Module, inputs: Tensor) -> Tensor:
    """``trunk`` of ``inputs``, with gradients, holding what goes into each of its segments and nothing in between.

    In the backward pass one segment at a time is run again and holds its activations. In a plain ``nn.Sequential`` a
    module that has modules of its own, such as a residual block, is a segment; of ``n`` single layers in a row, about
    ``sqrt(n)`` segments are made (Chen et al., arXiv 1604.06174). Any other trunk, and one with hooks, is one segment.

    The second run draws the random numbers of the first. Buffers that a run changes, as BatchNorm in training does,
    are changed by both; :func:`run_to_repeat` sets them back to what the first has made of them. The trunk must compute
    the same when run again: BatchNorm does in training, where it takes its statistics from the batch.

    Args:
        trunk: any function of one tensor.
        inputs: ``[B, ...]``.

    Raises:
        ValueError: the trunk, or a segment, writes into its input, which it then cannot be run on again. No segment
            begins with a module that says so (``inplace``), so this takes one that does not say.
    """
    for segment in _segments(trunk):
        version = inputs._version
        outputs: Tensor = checkpoint(segment, inputs, use_reentrant=False)
        if inputs._version != version:
            raise ValueError(
                "recompute_trunk = True with a trunk that writes into its input, or into that of a segment; legal: "
                "trunks that don't"
            )
        inputs = outputs
    return inputs


def _segments(trunk: nn.Module) -> list[nn.Module]:
    """Parts of ``trunk``: its blocks, and runs of layers, none of which begins with one that writes into its input."""
    if type(trunk) is not nn.Sequential or is_hooked(trunk) or len(trunk) == 0:
        return [trunk]
    blocks = [index for index, module in enumerate(trunk) if next(module.children(), None) is not None]
    starts = set(blocks)
    for start, end in pairwise([0, *blocks, len(trunk)]):
        count = math.isqrt(end - start)  # the first piece of a run stays with the block before it
        starts |= {start + cut * (end - start) // count for cut in range(1, count)}
    may_begin = [index for index, module in enumerate(trunk) if index and not getattr(module, "inplace", False)]
    begins = {next((index for index in may_begin if index >= start), 0) for start in starts if start}
    return [trunk[start:end] for start, end in pairwise([*sorted({0, *begins}), len(trunk)])]
