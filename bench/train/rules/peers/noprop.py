"""NoProp-DT: every module denoises the label alone (Li, Teh, Pascanu, arXiv 2503.24322).

``u_y`` is a learned embedding of the label, a row of ``W``. Noise levels ``abar_0 < ... < abar_T`` are fixed, and
``z_t = sqrt(abar_t) u_y + sqrt(1 - abar_t) eps`` with normal noise is what block ``t`` should give. Block ``t`` gets
``z_{t-1}`` and the image, gives logits, and predicts the embedding ``u_t = softmax(logits) W``. With
``SNR_t = abar_t / (1 - abar_t)`` the loss is the paper's equation 8::

    -log p(y | z_T) + KL(q(z_0 | y) || N(0, I)) + T/2 eta E_t[(SNR_t - SNR_{t-1}) |u_t(z_{t-1}, x) - u_y|^2]

where ``p(y | z_T)`` is the softmax of one linear layer, and ``t`` is uniform on 1 to T. No block needs another, neither
forward nor backward. A prediction starts at ``z_0 ~ N(0, I)``, and block ``t`` gives the paper's equation 3::

    z_t = a_t u_t(z_{t-1}, x) + b_t z_{t-1} + sqrt(c_t) eps

The blocks are the modules of a cascade, with ``z_{t-1}`` in the place of the belief. So an embedding has C numbers, as
the paper's one-hot embeddings have. ``W`` is learned and orthogonal at first.

Differences from the paper:

- The paper's algorithm 1 trains one block after the other. Here each step trains all blocks on one batch, and ``E_t``
  is their exact mean; ``blocks`` names fewer.
- Each of the paper's blocks has convolutions of its own. Those of a cascade share a trunk, which gets the sum of their
  gradients.
- The bounds of ``abar_t``, which keep ``SNR_T`` finite, and the bound of the SNR (``largest_snr``) are those of the
  public code below.

In short runs the output layer is the last to learn: accuracies by module then show what the blocks have learned.

The authors' code is not public. Golden numbers are those of github.com/Tai225999/NoProp---Pytorch-Implementation. It
averages the squared error over the numbers of an embedding (``mean_over_embedding``) where the paper adds them, it
trains one block a step (``blocks``), and its predictions have ``alpha_{t-2}`` in the place of ``alpha_{t-1}``, which is
not offered.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core import BeliefNetwork
from sid_core.objective import belief_dtype
from sid_core.phases import enter
from sid_core.steps.trunk import run_trunk

ETA = 0.1
LARGEST_SNR = 100.0
_SCHEDULE_OFFSET = 0.008  # the s of the cosine schedule (arXiv 2102.09672)
_LEAST_LEVEL = 1e-5
_SEED_OF_PREDICTIONS = 0


class Embedding(nn.Module):
    """What NoProp has beside its blocks.

    Attributes:
        label: ``W``, ``[C, E]``.
        output: ``z_T`` to logits, ``[B, E]`` to ``[B, C]``.

    Args:
        classes: C.
        size: E; None: C, as a cascade takes it.
    """

    def __init__(self, classes: int, size: int | None = None) -> None:
        super().__init__()
        self.label = nn.Embedding(classes, size or classes)
        nn.init.orthogonal_(self.label.weight)
        self.output = nn.Linear(size or classes, classes)


class Refinement(NamedTuple):
    """The weights ``a_t``, ``b_t`` and ``c_t`` of a block in a prediction."""

    of_prediction: float
    of_input: float
    of_noise: float


def noise_levels(blocks: int) -> list[float]:
    """``abar_0`` to ``abar_T``: the share of the label in the variance of ``z_t``, by a cosine schedule."""

    def noise(time: float) -> float:
        return math.cos(math.pi / 2 * (time + _SCHEDULE_OFFSET) / (1 + _SCHEDULE_OFFSET)) ** 2

    levels = [1 - noise(block / blocks) / noise(0) for block in range(blocks + 1)]
    return [min(max(level, _LEAST_LEVEL), 1 - _LEAST_LEVEL) for level in levels]


def refinements(levels: Sequence[float]) -> list[Refinement]:
    """``a_t``, ``b_t`` and ``c_t`` of blocks 1 to T for the noise levels 0 to T.

    With ``alpha_{t-1} = abar_{t-1} / abar_t``, ``a_t = sqrt(abar_t) (1 - alpha_{t-1}) / (1 - abar_{t-1})``,
    ``b_t = sqrt(alpha_{t-1}) (1 - abar_t) / (1 - abar_{t-1})`` and
    ``c_t = (1 - abar_t) (1 - alpha_{t-1}) / (1 - abar_{t-1})``.
    """
    found = []
    for before, after in pairwise(levels):
        kept = before / after
        noise = 1 - before
        found.append(
            Refinement(
                math.sqrt(after) * (1 - kept) / noise,
                math.sqrt(kept) * (1 - after) / noise,
                (1 - after) * (1 - kept) / noise,
            )
        )
    return found


def train_each_block(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    _objective: object,
    *,
    auxiliary: Embedding,
    eta: float = ETA,
    largest_snr: float = LARGEST_SNR,
    mean_over_embedding: bool = False,
    blocks: Sequence[int] | None = None,
) -> Tensor:
    """Runs each block forward and then backward, one at a time, and the trunk backward at the end; returns the loss.

    Args:
        network: a cascade.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``.
        auxiliary: the label embedding and the output layer.
        eta: the weight of the denoising terms.
        largest_snr: a bound on ``SNR_t``.
        mean_over_embedding: average the squared error over the numbers of the embedding in place of adding them.
        blocks: the numbers of the blocks that learn, from 1; None: all.
    """
    count = len(network.local_modules)
    levels = noise_levels(count)
    ratios = [min(level / (1 - level), largest_snr) for level in levels]
    chosen = range(1, count + 1) if blocks is None else blocks
    features, run_trunk_backward = run_trunk(network.trunk, images)
    features.requires_grad_(run_trunk_backward is not None)
    total = _output_loss(auxiliary, labels, levels)
    total.backward()
    total = total.detach()
    for number in chosen:
        enter("forward", number)
        before = levels[number - 1]
        clean = auxiliary.label(labels)
        noisy = math.sqrt(before) * clean + math.sqrt(1 - before) * _normal(clean.shape, clean)
        logits, _ = network.run_module(network.local_modules[number - 1], noisy, features)
        squares = (logits.softmax(dim=1) @ auxiliary.label.weight - clean).square()
        error = squares.mean() if mean_over_embedding else squares.sum() / len(labels)
        weight = count / len(chosen) * eta / 2 * (ratios[number] - ratios[number - 1])
        loss = weight * error
        del clean, noisy, logits, squares, error
        total += loss.detach()
        enter("backward", number)
        loss.backward()
        del loss
    enter("forward")
    gradient = features.grad
    del features
    if run_trunk_backward is not None and gradient is not None:
        run_trunk_backward(gradient)
    return total


def _output_loss(auxiliary: Embedding, labels: Tensor, levels: Sequence[float]) -> Tensor:
    """``-log p(y | z_T) + KL(q(z_0 | y) || N(0, I))``, a mean over the batch."""
    clean = auxiliary.label(labels)
    last = math.sqrt(levels[-1]) * clean + math.sqrt(1 - levels[-1]) * _normal(clean.shape, clean)
    constant = clean.shape[1] * (levels[0] + math.log1p(-levels[0]))
    divergence: Tensor = (levels[0] * clean.square().sum(dim=1).mean() - constant) / 2
    logits: Tensor = auxiliary.output(last)
    return F.cross_entropy(logits, labels) + divergence


def logits_by_module(network: BeliefNetwork, images: Tensor, *, auxiliary: Embedding) -> Iterator[Tensor]:
    """Yields the logits of each block, and in the place of the last block's those of the output layer, ``[B, C]``.

    Each call draws the same noise, from a generator of its own, so that training does not depend on what is read.
    """
    features = network.trunk(images)
    generator = torch.Generator(features.device).manual_seed(_SEED_OF_PREDICTIONS)
    steps = refinements(noise_levels(len(network.local_modules)))
    for number, (logits, noisy) in enumerate(refine(network, features, auxiliary, steps, generator), 1):
        if number < len(steps):
            yield logits
        else:
            output = auxiliary.output(noisy)
            yield output.to(belief_dtype(output))


def refine(
    network: BeliefNetwork,
    features: Tensor,
    auxiliary: Embedding,
    steps: Sequence[Refinement],
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the logits of block ``t``, ``[B, C]``, and ``z_t``, ``[B, E]``, for ``t`` from 1 to T."""
    shape = (len(features), auxiliary.label.embedding_dim)
    noisy = _normal(shape, features, generator)
    for module, step in zip(network.local_modules, steps, strict=True):
        logits, _ = network.run_module(module, noisy, features)
        clean = logits.softmax(dim=1) @ auxiliary.label.weight
        noise = _normal(shape, features, generator)
        noisy = step.of_prediction * clean + step.of_input * noisy + math.sqrt(step.of_noise) * noise
        yield logits, noisy


def _normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal noise in single precision or better, which beliefs have, too."""
    return torch.randn(shape, dtype=belief_dtype(like), device=like.device, generator=generator)
