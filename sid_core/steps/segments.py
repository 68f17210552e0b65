"""Where a trunk, or a stage of a pipeline, is cut into parts that are recomputed one at a time."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from torch import nn

from sid_core.steps.closed_form import is_hooked

# Their output may share memory with their input.
_VIEWS = (nn.Flatten, nn.Unflatten, nn.Identity)


def segments_of(trunk: nn.Module) -> list[nn.Module]:
    """Cuts ``trunk`` into segments that give its output when they run one after the other.

    Recomputing the trunk holds the input of every segment, and the activations of one segment at a time. So segments
    should be neither many nor long:

    1. A plain ``nn.Sequential`` is taken apart into blocks and layers. A block is a module that has submodules, such
       as a residual block. Any other trunk, or one with hooks, is a single segment.
    2. Each block begins a segment.
    3. ``n`` blocks and layers from one block up to the next, or up to the end, are cut again into ``sqrt(n)`` segments
       (Chen et al., arXiv 1604.06174), rounded down. A trunk of layers only is one such row.
    4. A segment cannot begin with what writes into its input: see :func:`_joined`.
    """
    if not _is_plain_sequence(trunk):
        return [trunk]
    layers = sum(1 for _ in _taken_apart(trunk, 0))
    parts = list(_taken_apart(trunk, math.isqrt(layers)))
    block_starts = [index for index, part in enumerate(parts) if _is_block(part)]
    starts = [
        start + segment * (end - start) // math.isqrt(end - start)
        for start, end in pairwise(sorted({0, *block_starts, len(parts)}))
        for segment in range(math.isqrt(end - start))
    ]
    return _joined(parts, starts)


def blocks_of(stage: nn.Module) -> list[nn.Module]:
    """Cuts ``stage`` into its children, if it is a plain ``nn.Sequential``; any other stage is one block.

    A child that writes into its input stays with the child before it: see :func:`_joined`.
    """
    if not _is_plain_sequence(stage):
        return [stage]
    parts = list(stage.children())
    return _joined(parts, range(len(parts)))


def _joined(parts: Sequence[nn.Module], starts: Iterable[int]) -> list[nn.Module]:
    """Joins ``parts`` to one ``nn.Sequential`` from each of ``starts`` to the next.

    The input of a segment is held to run the segment again, so it must not be written into. A start at a part that says
    that it does (``inplace``) moves on to the next part that does not.
    """
    is_legal = [index == 0 or not _writes_into_input(parts[index:]) for index in range(len(parts))]
    moved = {next((index for index in range(start, len(parts)) if is_legal[index]), len(parts)) for start in starts}
    return [nn.Sequential(*parts[start:end]) for start, end in pairwise(sorted({*moved, len(parts)}))]


def _taken_apart(sequence: nn.Module, longest: int) -> Iterator[nn.Module]:
    """Yields the children of ``sequence``, and in place of a nested sequence its own children where that pays.

    That is where it has blocks, or more than ``longest`` layers; a shorter one is left whole, and is a block itself.
    """
    for child in sequence.children():
        nested = list(_taken_apart(child, longest)) if _is_plain_sequence(child) else []
        if len(nested) > longest or any(map(_is_block, nested)):
            yield from nested
        else:
            yield child


def _is_plain_sequence(module: nn.Module) -> bool:
    return type(module) is nn.Sequential and not is_hooked(module) and len(module) > 0


def _is_block(part: nn.Module) -> bool:
    return next(part.children(), None) is not None


def _writes_into_input(parts: Sequence[nn.Module]) -> bool:
    """Whether the first of ``parts`` that is not a view says that it writes into its input."""
    for part in parts:
        first = part
        while type(first) is nn.Sequential and len(first) > 0:
            first = first[0]
        if not isinstance(first, _VIEWS):
            return bool(getattr(first, "inplace", False))
    return False
