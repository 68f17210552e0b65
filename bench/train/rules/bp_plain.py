"""Backpropagation through a backbone with its one usual head: no cascade of beliefs, no heads along the way."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.config.catalog import PIPELINES

if TYPE_CHECKING:
    from torch import Tensor

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork

SUMMARY = "backpropagation through the backbone and its last head alone, as it is usually trained"
USES_ALPHA = False
NETWORKS = PIPELINES  # a cascade has no backbone to train without its beliefs


def refusal(cell: "Cell") -> str | None:
    """Stages without their heads are not compiled."""
    if cell.compile:
        return f"compile = True for method {cell.method!r}, which runs stages without their heads; legal: False"
    return None


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step through the stages and the last head; see :mod:`bench.config.methods`.

    The last head gets ``p_0`` for a belief, which is a constant: it is the classifier that the backbone usually has.
    The other heads are in the network, so that all methods start from the same weights, and take no part: they are not
    run, have no gradients and no optimizer state, and count as parameters only.
    """
    import torch.nn.functional as F

    loss = F.cross_entropy(_prediction(network, images), labels)
    loss.backward()
    return loss.detach()


def logits_by_module(network: "BeliefNetwork", images: "Tensor") -> "Iterator[Tensor | None]":
    """The last module's logits, ``[B, C]``; None for each module before it, whose head is not trained."""
    yield from [None] * (len(network.local_modules) - 1)
    yield _prediction(network, images)


def _prediction(network: "BeliefNetwork", images: "Tensor") -> "Tensor":
    from sid_core.objective import belief_dtype
    from sid_core.phases import enter, enter_backward_at
    from sid_core.pipeline import pool

    *_, last = network.local_modules
    features = images
    for number, module in enumerate(network.local_modules, 1):
        enter("forward", number)
        features = module.stage(features)  # type: ignore[operator]
        enter_backward_at(features, number)
    logits: Tensor = last.head(network.initial_belief(features), pool(features))  # type: ignore[operator]
    return logits.to(belief_dtype(logits))
