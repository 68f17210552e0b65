"""A trunk that is run twice: first without a graph, and again, in checkpointed segments, when its gradient is there."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sid_core.closed_form import is_hooked


def run_to_repeat(trunk: nn.Module, images: Tensor) -> tuple[Tensor, Callable[[Tensor], None] | None]:
    """The features of ``trunk`` for ``images``, and what runs it again to take it backward; holds no activation.

    A plain ``nn.Sequential`` of ``n`` modules is run again in about ``sqrt(n)`` segments (Chen et al., arXiv
    1604.06174), of which one at a time holds its activations; so its modules run forward three times in all. Any other
    trunk, and one with hooks, is one segment, and runs twice.

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
    with torch.no_grad():
        if not (images.requires_grad or any(parameter.requires_grad for parameter in trunk.parameters())):
            return trunk(images).detach(), None
        generators = _generator_states(images.device)
        version = images._version
        features: Tensor = trunk(images)
        _check_unchanged(images, version)
        buffers = [(buffer, buffer.clone()) for buffer in trunk.buffers()]

    def run_backward(gradient: Tensor) -> None:
        devices = [images.device] if images.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.enable_grad():
            _set_generators(images.device, generators)
            again = _in_segments(trunk, images)
        torch.autograd.backward(again, gradient)
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)

    return features, run_backward


def _in_segments(trunk: nn.Module, images: Tensor) -> Tensor:
    features: Tensor = images
    *segments, last = _segments(trunk)
    for segment in segments:
        version = features._version
        inputs, features = features, checkpoint(segment, features, use_reentrant=False)
        _check_unchanged(inputs, version)
    version = features._version
    inputs, features = features, last(features)  # it runs backward at once, and holds its activations until then
    if segments:
        _check_unchanged(inputs, version)
    return features


def _segments(trunk: nn.Module) -> list[nn.Module]:
    """Parts of ``trunk`` of about equal length, none of which begins with a module that writes into its input."""
    if type(trunk) is not nn.Sequential or is_hooked(trunk) or len(trunk) == 0:
        return [trunk]
    count = math.isqrt(len(trunk))
    may_begin = [index for index, module in enumerate(trunk) if index and not getattr(module, "inplace", False)]
    starts = {next((index for index in may_begin if index >= cut * len(trunk) // count), 0) for cut in range(1, count)}
    return [trunk[start:end] for start, end in pairwise([*sorted({0, *starts}), len(trunk)])]


def _check_unchanged(inputs: Tensor, version: int) -> None:
    if inputs._version != version:
        raise ValueError(
            "recompute_trunk = True with a trunk that writes into its input, or into that of a segment; legal: trunks "
            "that don't"
        )


def _generator_states(device: torch.device) -> list[Tensor]:
    on_device = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_device]


def _set_generators(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
