"""Backpropagation with checkpoints: it keeps inputs of modules, or of a stage's blocks, and computes the rest twice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bench.config.catalog import PIPELINES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from bench.config.cell import Cell
    from sid_core import BeliefNetwork
    from sid_core.pipeline import PipelineModule

SUMMARY = "backpropagation with torch.utils.checkpoint around each module, in a pipeline around each block"
USES_ALPHA = False


def refusal(cell: "Cell") -> str | None:
    """Blocks of a compiled stage would not be compiled."""
    if cell.compile and cell.network in PIPELINES:
        return f"compile = True for method {cell.method!r} on a pipeline, whose blocks it calls; legal: False"
    return None


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step that recomputes each module in its backward pass (Chen et al., arXiv 1604.06174).

    A stage of a pipeline is a sequence of blocks and recomputed block by block, so that what is held does not depend on
    where stages are cut. See :mod:`bench.config.methods`.
    """
    return train_modules(network, network.trunk(images), labels)


def train_modules(network: "BeliefNetwork", features: "Tensor", labels: "Tensor") -> "Tensor":
    """The step from the trunk's ``features`` on, backward through the trunk included; returns the loss, detached."""
    import torch.nn.functional as F

    from sid_core.pipeline import PipelineModule

    belief = network.initial_belief(features)
    last = len(network.local_modules)
    for number, module in enumerate(network.local_modules, 1):
        if isinstance(module, PipelineModule):
            belief, features = _run_blocks(module, belief, features, number, last)
        else:
            belief, features = _keep_inputs(_run_module, module, network, module, belief, features, number == last)
    loss = F.cross_entropy(belief, labels)  # behind the last module it is logits
    loss.backward()
    return loss.detach()


def _run_blocks(
    module: "PipelineModule", belief: "Tensor", features: "Tensor", number: int, last: int
) -> tuple["Tensor", "Tensor"]:
    """As :func:`_run_module`, for a stage of many blocks."""
    from sid_core.phases import enter, enter_backward_at
    from sid_core.steps.recompute import run_in_segments

    enter("forward", number)
    features = run_in_segments(module.stage.children(), features)
    belief = _keep_inputs(_run_head, module.head, module.head, belief, features, number == last)
    enter_backward_at(belief, number)
    enter_backward_at(features, number)
    return belief, features


def _run_module(
    network: "BeliefNetwork", module: "nn.Module", belief: "Tensor", features: "Tensor", is_last: bool
) -> tuple["Tensor", "Tensor"]:
    """The belief of ``module``, or the logits of the last, and the features for the next."""
    logits, features = network.run_module(module, belief, features)
    return logits if is_last else logits.softmax(dim=1), features


def _run_head(head: "nn.Module", belief: "Tensor", features: "Tensor", is_last: bool) -> "Tensor":
    from sid_core.objective import belief_dtype
    from sid_core.pipeline import pool

    logits: Tensor = head(belief, pool(features))
    logits = logits.to(belief_dtype(logits))
    return logits if is_last else logits.softmax(dim=1)


def _keep_inputs(run: Callable[..., Any], module: "nn.Module", *arguments: object) -> Any:
    """``run`` on ``arguments`` in a checkpoint; it runs ``module``."""
    from torch.utils.checkpoint import checkpoint

    from sid_core import LocalModule

    # Saving the generator's state costs 5 kB a module, and only random modules read it.
    is_random = not isinstance(module, LocalModule)
    return checkpoint(run, *arguments, use_reentrant=False, preserve_rng_state=is_random)
