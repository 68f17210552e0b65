"""The SID step module by module: ``published``'s gradients, one module's activations at a time, no second forward."""

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from sid_core.closed_form import accumulate_closed_form, has_closed_form
from sid_core.network import BeliefNetwork
from sid_core.objective import Alpha, BeliefChain, alpha_per_module


def streamed_step(
    network: BeliefNetwork, images: Tensor, labels: Tensor, alpha: Alpha, *, closed_form: bool = True
) -> Tensor:
    """:func:`sid_core.published_step`, but each module is freed before the next: accumulates gradients into ``.grad``.

    Two facts make it exact. The parameters do not change within a step, so the belief that module ``i + 1`` needs is
    the one that module ``i`` has just computed: no teacher pass. And the gradient in the logits has a closed form (see
    :func:`sid_core.logit_gradient`), so no loss graph is built. The gradient of the features gathers in one tensor,
    and the trunk is run backward once, at the end. A module with dropout draws one mask here, two in ``published``.

    A pipeline's stage runs backward as soon as its head has, so that only one stage's activations are held. Each stage
    runs forward once: BatchNorm in it updates its running statistics once, as in backpropagation.

    Args:
        network: as for ``published_step``, and so are the next three.
        images: ``[B, ...]``.
        labels: ``[B]``.
        alpha: one number or one a module.
        closed_form: where all modules are :class:`sid_core.LocalModule`, run them backward without an autograd graph,
            which is faster and leaner; other networks go through autograd in any case. False always takes autograd.

    Returns:
        The loss of the step: the local losses summed over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``alpha`` is not legal, or there is not one label an image.
    """
    alphas = alpha_per_module(alpha, len(network.local_modules))
    with torch.enable_grad():
        features = network.trunk(images)
    trunk_output = get_gradient_edge(features) if features.requires_grad else None
    features = features.detach()
    with torch.no_grad():
        chain = BeliefChain(network.initial_belief(features), labels, alphas)
        if closed_form and all(map(has_closed_form, network.local_modules)):
            stacked = torch.cat((chain.belief, features), dim=1)
            del features  # from here on they live in the modules' input only
            feature_gradient = accumulate_closed_form(network.local_modules, stacked, chain, trunk_output is not None)
            del stacked
        else:
            leaf = features.requires_grad_(trunk_output is not None)
            _accumulate_by_autograd(network, leaf, chain)
            feature_gradient = leaf.grad
            del leaf, features
    loss = chain.loss
    del chain  # the trunk's backward pass needs the room
    if trunk_output is not None and feature_gradient is not None:
        torch.autograd.backward(trunk_output, feature_gradient)
    return loss


def _accumulate_by_autograd(network: BeliefNetwork, features: Tensor, chain: BeliefChain) -> None:
    """Forward and backward of one module of any kind after the other; ``features.grad`` gathers their gradient."""
    for module in network.local_modules:
        with torch.enable_grad():
            logits, features = network.run_module(module, chain.belief, features)
        features = network.hand_on(features)
        gradient = chain.advance(logits.detach())
        if logits.requires_grad:
            logits.backward(gradient)
        del logits, gradient
