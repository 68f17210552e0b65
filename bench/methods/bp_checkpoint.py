"""Backpropagation with a checkpoint around each module: it keeps the modules' inputs and computes the rest twice."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sid_core import BeliefNetwork

SUMMARY = "backpropagation with torch.utils.checkpoint around each module (Chen et al., arXiv 1604.06174)"
USES_ALPHA = False


def accumulate_gradients(network: "BeliefNetwork", images: "Tensor", labels: "Tensor", _alpha: object) -> "Tensor":
    """One BP step that recomputes each module in its backward pass; see :mod:`bench.methods`.

    A module of a pipeline is a stage with its head, which runs forward twice: BatchNorm in it updates its running
    statistics twice.
    """
    import torch.nn.functional as F
    from torch.utils.checkpoint import checkpoint

    features = network.trunk(images)
    belief = network.initial_belief(features)
    last = len(network.local_modules) - 1
    for index, module in enumerate(network.local_modules):
        part = network.run_module if index == last else _then_softmax
        arguments = (module, belief, features) if index == last else (network, module, belief, features)
        # Saving the generator's state costs 5 kB a module, and only random modules read it.
        belief, features = checkpoint(part, *arguments, use_reentrant=False, preserve_rng_state=_is_random(module))
    loss = F.cross_entropy(belief, labels)
    loss.backward()
    return loss.detach()


def _then_softmax(
    network: "BeliefNetwork", module: "nn.Module", belief: "Tensor", features: "Tensor"
) -> tuple["Tensor", "Tensor"]:
    logits, features = network.run_module(module, belief, features)
    return logits.softmax(dim=1), features


def _is_random(module: "nn.Module") -> bool:
    """Whether a recomputation of ``module`` may draw other random numbers than its first run."""
    from sid_core import LocalModule

    return not isinstance(module, LocalModule)
