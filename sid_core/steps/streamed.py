"""The SID step module by module: ``published``'s gradients, one module's activations at a time, no second forward."""

from collections.abc import Callable, Iterable, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.optim import Optimizer

from sid_core.network import BeliefNetwork
from sid_core.objective import Alpha, Objective, ObjectiveOptions, check_batch, objective_of
from sid_core.phases import enter
from sid_core.steps.chain import BeliefChain, belief_chain
from sid_core.steps.closed_form import accumulate_closed_form, input_of_modules, is_closed_form
from sid_core.steps.recompute import recomputed_trunk
from sid_core.steps.update_in_turn import check_optimizers, update_in_turn


def streamed_step(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    *,
    closed_form: bool = True,
    recompute_trunk: bool = False,
    optimizers: Sequence[Optimizer] | None = None,
    **options: Unpack[ObjectiveOptions],
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
        objective: an :class:`sid_core.Objective`, or alpha.
        closed_form: where all modules are :class:`sid_core.LocalModule`, run them backward without an autograd graph,
            which is faster and leaner; other networks go through autograd in any case. False always takes autograd.
        recompute_trunk: hold activations of the trunk only where it is cut into segments, and compute it again, segment
            by segment, in its backward pass (:func:`sid_core.recomputed`): less memory where a
            convolutional trunk holds most of it, more time. A trunk with no parameters that learn, as a pipeline's, is
            not run again.
        optimizers: one a module, with parameters of that module only. Each is called right after its module's backward
            pass, and then the module's gradients are freed, so that those of one module are held instead of L. Nothing
            later in the step reads the module, so the weights are those of an update at the end. The trunk's gradients
            stay, for an optimizer of its own. Without, all gradients stay.
        **options: as for ``published_step``.

    Returns:
        The loss of the step: the local losses summed (or averaged) over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: the objective or ``optimizers`` is not legal, there is no image, or there is not one int64 label
            per image, or the trunk is to run again and writes into its input.
    """
    modules = len(network.local_modules)
    objective = objective_of(objective, options, modules)
    check_batch(images, labels)
    if optimizers is not None:
        check_optimizers(list(network.local_modules), optimizers)
    trunk = recomputed_trunk(network.trunk) if recompute_trunk else network.trunk
    features, run_trunk_backward = _run_trunk(trunk, images)
    trunk_learns = run_trunk_backward is not None
    with torch.no_grad():
        chain = belief_chain(network.initial_belief(features), labels, objective, modules)
        local_modules: Iterable[nn.Module] = network.local_modules
        if optimizers is not None:
            local_modules = update_in_turn(list(network.local_modules), optimizers)
        if closed_form and is_closed_form(network):
            stacked = input_of_modules(chain.belief, features)
            del features  # from here on they live in the modules' input only
            feature_gradient = accumulate_closed_form(local_modules, stacked, chain, trunk_learns)
            del stacked
        else:
            leaf = features.requires_grad_(trunk_learns)
            _accumulate_by_autograd(network, local_modules, leaf, chain)
            feature_gradient = leaf.grad
            del leaf, features
    loss = chain.loss
    del chain  # the trunk's backward pass needs the room
    if run_trunk_backward is not None and feature_gradient is not None:
        run_trunk_backward(feature_gradient)
    return loss


def _run_trunk(trunk: nn.Module, images: Tensor) -> tuple[Tensor, Callable[[Tensor], None] | None]:
    """The features of ``trunk`` without their graph, and what takes it backward; None where nothing in it learns."""
    with torch.enable_grad():
        features: Tensor = trunk(images)
    if not features.requires_grad:
        return features.detach(), None
    output = get_gradient_edge(features)
    return features.detach(), lambda gradient: torch.autograd.backward(output, gradient)


def _accumulate_by_autograd(
    network: BeliefNetwork, local_modules: Iterable[nn.Module], features: Tensor, chain: BeliefChain
) -> None:
    """Forward and backward of one module of any kind after the other; ``features.grad`` gathers their gradient."""
    for number, module in enumerate(local_modules, 1):
        enter("forward", number)
        with torch.enable_grad():
            logits, features = network.run_module(module, chain.belief, features)
        features = network.hand_on(features)
        gradient = chain.advance(logits.detach())
        if logits.requires_grad:
            enter("backward", number)
            logits.backward(gradient)
        del logits, gradient
    enter("forward")
