"""What rules without beliefs share: training stage by stage, and reading a network whose modules all take ``p_0``.

Such a rule gives each module the uniform belief, which is constant: each head is then a classifier of its own.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from sid_core import BeliefNetwork, Pipeline
from sid_core.phases import enter


class Stage(NamedTuple):
    """One stage in a step, forward done.

    Attributes:
        number: from 1.
        module: the stage with its head: ``module.stage`` and ``module.run_head(belief, features)``.
        logits: of the head, ``[B, C]``.
        features: of the stage, with a graph that ends at its input.
    """

    number: int
    module: nn.Module
    logits: Tensor
    features: Tensor


def train_stages(network: BeliefNetwork, images: Tensor, local_loss: Callable[[Stage], Tensor]) -> Tensor:
    """Runs each stage of a pipeline forward and then backward on its own loss, before the next stage runs.

    The next stage gets ``sg(features)``, so the activations of one stage are held at a time. Gradients add up in
    ``.grad``.

    Args:
        network: a pipeline.
        images: ``[B, channels, H, W]``.
        local_loss: the loss of a stage, a tensor of shape ``[]``. It must not keep what it gets.

    Returns:
        The sum of the losses, ``[]``, detached.
    """
    total = images.new_zeros(())
    features, belief = images, network.initial_belief(images)
    for number, module in enumerate(network.local_modules, 1):
        enter("forward", number)
        logits, output = network.run_module(module, belief, features)
        loss = local_loss(Stage(number, module, logits, output))
        features = network.hand_on(output)
        total += loss.detach()
        del logits, output
        enter("backward", number)
        loss.backward()
        del loss
    enter("forward")
    return total


def logits_by_module(network: BeliefNetwork, images: Tensor) -> Iterator[Tensor]:
    """Yields the logits of each module, ``[B, C]``, where each takes ``p_0`` in the place of the belief before it."""
    features = network.trunk(images)
    belief = network.initial_belief(features)
    for module in network.local_modules:
        logits, features = network.run_module(module, belief, features)
        yield logits


def predict(network: BeliefNetwork, images: Tensor) -> Tensor:
    """The logits of the last module, ``[B, C]``, without the heads or modules before it, which no longer matter."""
    *before, last = network.local_modules
    features = network.trunk(images)
    if isinstance(network, Pipeline):
        for module in before:
            features = module.stage(features)  # type: ignore[operator]
    logits, _ = network.run_module(last, network.initial_belief(features), features)
    return logits
