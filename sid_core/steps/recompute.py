"""A trunk that is run again, segment by segment, when its gradient is there."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.utils.checkpoint import checkpoint

from sid_core.steps.closed_form import is_hooked

# Their output may share memory with their input.
_VIEWS = (nn.Flatten, nn.Unflatten, nn.Identity)

_Buffers = list[tuple[nn.Module, str, Tensor, Tensor]]  # where each hangs, itself, and a copy of its contents


def run_to_repeat(trunk: nn.Module, images: Tensor) -> tuple[Tensor, Callable[[Tensor], None] | None]:
    """The features of ``trunk`` for ``images``, and what takes it backward, running its segments again.

    See :func:`segments_of` and :func:`run_in_segments`. The second run finds buffers as the first has found them, and
    leaves them as the first has left them: BatchNorm updates its running statistics once.

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
    before = _buffers_of(trunk)
    with torch.enable_grad():
        features = run_in_segments(segments_of(trunk), images)
    if not features.requires_grad:
        return features.detach(), None
    output = get_gradient_edge(features)
    after = _buffers_of(trunk)

    def run_backward(gradient: Tensor) -> None:
        _set_buffers(before)
        torch.autograd.backward(output, gradient)
        _set_buffers(after)

    return features.detach(), run_backward


def run_in_segments(segments: Iterable[nn.Module], inputs: Tensor) -> Tensor:
    """``segments`` one after the other, with gradients, holding what goes into each and nothing in between.

    In the backward pass one segment at a time is run again and holds its activations. The second run draws the random
    numbers of the first. A segment must compute the same when run again, as BatchNorm does in training, where it takes
    its statistics from the batch; what it changes of its own, BatchNorm's running statistics for one, both runs change.

    Args:
        segments: functions of one tensor.
        inputs: ``[B, ...]``.

    Raises:
        ValueError: a segment writes into its input, which it then cannot be run on again.
    """
    for segment in segments:
        version = inputs._version
        outputs: Tensor = checkpoint(segment, inputs, use_reentrant=False)
        if inputs._version != version:
            raise ValueError(
                "recompute_trunk = True with a trunk that writes into its input, or into that of a segment; legal: "
                "trunks that don't"
            )
        inputs = outputs
    return inputs


def segments_of(trunk: nn.Module) -> list[nn.Module]:
    """Parts of ``trunk`` to run again one at a time: together they are the trunk.

    A plain ``nn.Sequential``, and one in it, is a row of blocks and layers. A block, that is a module with modules of
    its own such as a residual block, begins a segment; a row of ``n`` layers without one is cut into about ``sqrt(n)``
    (Chen et al., arXiv 1604.06174), the first of which stays with the block before it. No segment begins with what says
    that it writes into its input (``inplace``), or might write into the one before through a view.

    A nested ``nn.Sequential`` of a few layers is a block itself. Any other trunk, and one with hooks, is one segment.
    """
    if not _is_plain_sequence(trunk):
        return [trunk]
    long = math.isqrt(sum(1 for _ in _open(trunk, 0)))
    parts = list(_open(trunk, long))
    starts = {index for index, part in enumerate(parts) if _is_block(part)}
    for start, end in pairwise([0, *sorted(starts), len(parts)]):
        count = math.isqrt(end - start)
        starts |= {start + cut * (end - start) // count for cut in range(1, count)}
    may_begin = [index for index in range(1, len(parts)) if not _writes_into_input(parts[index:])]
    begins = {next((index for index in may_begin if index >= start), 0) for start in starts if start}
    return [nn.Sequential(*parts[start:end]) for start, end in pairwise([*sorted({0, *begins}), len(parts)])]


def _open(sequence: nn.Module, long: int) -> Iterator[nn.Module]:
    """The parts of ``sequence``, with those of sequences in it that hold blocks, or more than ``long`` layers."""
    for part in sequence.children():
        inner = list(_open(part, long)) if _is_plain_sequence(part) else []
        if len(inner) > long or any(map(_is_block, inner)):
            yield from inner
        else:
            yield part


def _is_plain_sequence(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and not is_hooked(module) and len(module) > 0


def _is_block(part: nn.Module) -> bool:
    return next(part.children(), None) is not None


def _writes_into_input(parts: Sequence[nn.Module]) -> bool:
    """Whether the first of ``parts`` that makes a tensor of its own says that it makes it of its input."""
    for part in parts:
        first = part
        while _is_plain_sequence(first):
            first = next(first.children())
        if not isinstance(first, _VIEWS):
            return bool(getattr(first, "inplace", False))
    return False


def _buffers_of(trunk: nn.Module) -> _Buffers:
    return [
        (owner, name, buffer, buffer.detach().clone())
        for owner in trunk.modules()
        for name, buffer in owner._buffers.items()
        if buffer is not None
    ]


@torch.no_grad()
def _set_buffers(buffers: _Buffers) -> None:
    for owner, name, buffer, contents in buffers:
        owner._buffers[name] = buffer
        buffer.copy_(contents)
