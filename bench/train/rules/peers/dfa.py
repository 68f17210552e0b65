"""DFA, direct feedback alignment (Nokland, arXiv 1609.01596).

A network is a row of blocks, ``h_l = f_l(h_{l-1})``, and a top layer that gives the logits ``a_y``. With the error
``e = dCE/da_y = (softmax(a_y) - y) / B``, each block learns from a fixed random projection of it in the place of its
true gradient; the top layer has its true gradient::

    dL/dh_l := e B_l

Within a block gradients are those of backpropagation, so a block of one layer is the paper's. Blocks of several layers
are the macro form of Launay et al., "Direct feedback alignment scales to modern deep learning" (arXiv 2006.12878).

- In a pipeline the stages are the blocks, and the top layer is the last head, which gets ``p_0``. As with ``bp-plain``
  the other heads are not run, have no gradients, and count as parameters only.
- In a cascade the blocks are the trunk, with its features, and each module but the last, with its belief. The last
  module is the top layer. The features reach all modules, but their gradient is ``e B_0`` alone.

``B_l`` are the first columns of one matrix ``M`` ``[C, D]``, uniform in -1..1 and divided by the root of ``D``, the
most numbers that a block gives of an image: what the code of Launay et al. has (github.com/lightonai/
dfa-scales-to-modern-deep-learning), to hold one matrix. In the paper each layer has a matrix of its own. With matrices
of one's own, the rule is also that of BioTorch (github.com/jsalbert/biotorch).

No block waits for another in the backward pass, but all wait for the error. So a step holds the activations of all
blocks, as backpropagation does, and frees them one block at a time; it holds the inputs of blocks only if the cell says
``recompute``.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.networks import Shape
from bench.train.networks.units import unit_sizes
from bench.train.rules import bp_plain
from sid_core import BeliefNetwork, Pipeline, logit_gradient
from sid_core.objective import belief_dtype, one_hot
from sid_core.phases import enter
from sid_core.steps.trunk import run_trunk


class Feedback(nn.Module):
    """``e B_l`` of any block, from one matrix.

    Args:
        classes: C.
        largest: D, the most numbers that a block gives of an image.
    """

    def __init__(self, classes: int, largest: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.empty(classes, largest).uniform_(-1, 1))

    def forward(self, error: Tensor, shape: torch.Size) -> Tensor:
        """The gradient in a block's output of ``shape`` ``[B, ...]``, for ``error`` ``[B, C]``."""
        matrix: Tensor = self.matrix  # type: ignore[assignment]
        size = math.prod(shape[1:])
        scaled = error / math.sqrt(matrix.shape[1])
        return (scaled @ matrix[:, :size]).view(shape)


class _Block(NamedTuple):
    """A block whose forward pass is done: its number, that of a trunk None, and what its output is."""

    number: int | None
    shape: torch.Size
    dtype: torch.dtype
    run_backward: Callable[[Tensor], None] | None


def feedback_matrix(network: BeliefNetwork, shape: Shape) -> Feedback:
    """The feedback of a network that takes images of ``shape``."""
    parts: list[nn.Module] = [network.trunk]
    if isinstance(network, Pipeline):
        parts = [module.stage for module in network.local_modules]  # type: ignore[misc]
    largest = max(math.prod(sizes.output) for sizes in unit_sizes(parts, shape))
    return Feedback(network.classes, largest if isinstance(network, Pipeline) else max(largest, network.classes))


def train_with_feedback(
    network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object, *, auxiliary: nn.Module
) -> Tensor:
    """The true gradient in the top layer, and that of feedback in each block; returns cross-entropy, ``[]``.

    Args:
        network: of either layout.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: ``(error [B, C], shape of a block's output) -> gradient in the output``.
    """
    blocks: list[_Block] = []

    def run(number: int | None, block: Callable[[Tensor], Tensor], given: Tensor) -> Tensor:
        enter("forward", number)
        output, run_backward = run_trunk(block, given)
        blocks.append(_Block(number, output.shape, output.dtype, run_backward))
        return output

    *before, last = network.local_modules
    count = len(network.local_modules)
    if isinstance(network, Pipeline):
        output = images
        for number, module in enumerate(network.local_modules, 1):
            output = run(number, module.stage, output)  # type: ignore[arg-type]
        logits = last.run_head(network.initial_belief(output), output)  # type: ignore[operator]
        logits = logits.to(belief_dtype(logits))
        del output
    else:
        features = run(None, network.trunk, images)
        belief = network.initial_belief(features)
        for number, module in enumerate(before, 1):
            belief = run(number, partial(_belief_after, network, module, features), belief)
        enter("forward", count)
        logits, _ = network.run_module(last, belief, features)
        del features, belief
    error = logit_gradient(logits.detach().softmax(dim=1), one_hot(labels, logits.detach()))
    loss = F.cross_entropy(logits.detach(), labels)
    enter("backward", count)
    logits.backward(error)
    del logits
    while blocks:
        block = blocks.pop()
        if block.run_backward is not None:
            enter("backward", block.number)
            block.run_backward(auxiliary(error, block.shape).to(block.dtype))
        del block
    enter("forward")
    return loss


def _belief_after(network: BeliefNetwork, module: nn.Module, features: Tensor, belief: Tensor) -> Tensor:
    logits, _ = network.run_module(module, belief, features)
    return logits.softmax(dim=1)


def logits_by_module(network: BeliefNetwork, images: Tensor) -> Iterator[Tensor | None]:
    """The logits of each module, ``[B, C]``; in a pipeline None for each before the last, whose head is not trained."""
    if isinstance(network, Pipeline):
        yield from bp_plain.logits_by_module(network, images)
    else:
        yield from network.logits_by_module(images)
