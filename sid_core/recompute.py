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
    """The features of ``trunk`` for ``images``, and what takes it backward, running it again.

    A plain ``nn.Sequential`` of ``n`` modules is cut into about ``sqrt(n)`` segments (Chen et al., arXiv 1604.06174).
    Only what goes into each is held; in the backward pass one segment at a time is run again and holds its activations.
    Any other trunk, and one with hooks, is one segment.

    The second run draws the random numbers of the first. Buffers that a run changes, as BatchNorm in training does,
    are set back to what the first run has made of them. The trunk must compute the same when run again: BatchNorm does
    in training, where it takes its statistics from the batch.

    Args:
        trunk: any ``images -> features``.
        images: ``[B, ...]``; kept for the second run.

    Returns:
        The features, without a graph, and a function of their gradient that adds to ``.grad`` of the trunk's
        parameters; None where nothing in the trunk learns.

    Raises:
        ValueError: the trunk, or a segment, writes into its input, which it then cannot be run on again. No segment
            begins with a module that says so (``inplace``), so this takes one that does not say.
    """
    if not (images.requires_grad or any(parameter.requires_grad for parameter in trunk.parameters())):
        with torch.no_grad():
            return trunk(images).detach(), None
    features = images
    with torch.enable_grad():
        for segment in _segments(trunk):
            version = features._version
            inputs, features = features, checkpoint(segment, features, use_reentrant=False)
            if inputs._version != version:
                raise ValueError(
                    "recompute_trunk = True with a trunk that writes into its input, or into that of a segment; legal: "
                    "trunks that don't"
                )
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


def _segments(trunk: nn.Module) -> list[nn.Module]:
    """Parts of ``trunk`` of about equal length, none of which begins with a module that writes into its input."""
    if type(trunk) is not nn.Sequential or is_hooked(trunk) or len(trunk) == 0:
        return [trunk]
    count = math.isqrt(len(trunk))
    may_begin = [index for index, module in enumerate(trunk) if index and not getattr(module, "inplace", False)]
    starts = {next((index for index in may_begin if index >= cut * len(trunk) // count), 0) for cut in range(1, count)}
    return [trunk[start:end] for start, end in pairwise([*sorted({0, *starts}), len(trunk)])]
