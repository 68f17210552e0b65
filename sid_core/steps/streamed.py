"""The SID step module by module: it holds the activations of one module at a time and needs no teacher pass."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.optim import Optimizer

from sid_core.network import BeliefNetwork
from sid_core.objective import Alpha, Objective, ObjectiveOptions, check_batch, objective_of
from sid_core.phases import enter
from sid_core.steps.chain import BeliefChain, belief_chain
from sid_core.steps.closed_form import accumulate_closed_form, input_of_modules, is_closed_form
from sid_core.steps.compiled import accumulate_compiled, run_compiled
from sid_core.steps.recompute import recomputed_trunk
from sid_core.steps.trunk import run_trunk
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
    target_only: bool = False,
    compiled: bool = False,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """The gradients of :func:`sid_core.published_step`, module by module: accumulates them into ``.grad``.

    Two facts make it exact. The parameters do not change within a step, so the belief that module ``i + 1`` needs is
    the one that module ``i`` has just computed, and there is no teacher pass. And the gradient in the logits has a
    closed form (:func:`sid_core.logit_gradient`), so there is no graph of the loss. The gradient in the features
    adds up in one tensor, and the trunk runs backward once, at the end. A module with dropout draws one mask here, and
    two in ``published_step``.

    In a pipeline, each stage runs forward once and then backward before the next stage runs. BatchNorm in it updates
    its running statistics once, as in backpropagation.

    Args:
        network: as for ``published_step``, and so are the next three.
        images: ``[B, ...]``.
        labels: ``[B]``.
        objective: an :class:`sid_core.Objective`, or alpha.
        closed_form: if all modules are :class:`sid_core.LocalModule`, run them without autograd, which is faster and
            needs less memory. Other modules run through autograd in any case.
        recompute_trunk: hold only the inputs of segments of the trunk, and run the segments again in the backward pass,
            as with ``trunk=True`` in :func:`sid_core.recomputed`.
        optimizers: one per module, with parameters of that module only. Each is stepped after the backward pass of its
            module, and the gradients of the module are freed, so that those of one module are held at a time. The
            weights are those of an update at the end, since nothing later in the step reads the module. The gradients
            of the trunk stay, for an optimizer of its own. By default all gradients stay.
        target_only: a belief is the target of the next module and not its input: every module takes ``p_0``. By default
            it is both, as in SID.
        compiled: run modules and trunk through ``torch.compile``, see :mod:`sid_core.steps.compiled`.
        **options: as for ``published_step``.

    Returns:
        The loss of the step: the sum (or mean) of the local losses, in nats, shape ``[]``, detached.

    Raises:
        ValueError: the objective or ``optimizers`` is not legal, there is no image, there is not one int64 label per
            image, or the trunk is to run again and writes into its input.
    """
    modules = len(network.local_modules)
    objective = objective_of(objective, options, modules)
    check_batch(images, labels)
    if optimizers is not None:
        check_optimizers(list(network.local_modules), optimizers)
    trunk = recomputed_trunk(network.trunk) if recompute_trunk else network.trunk
    features, run_trunk_backward = run_trunk(partial(run_compiled, trunk) if compiled else trunk, images)
    trunk_learns = run_trunk_backward is not None
    with torch.no_grad():
        local_modules: Iterable[Any] = network.local_modules
        if optimizers is not None:
            local_modules = update_in_turn(list(network.local_modules), optimizers)
        if compiled and is_closed_form(network) and not target_only:
            loss, feature_gradient = accumulate_compiled(
                network, local_modules, features, labels, objective, trunk_learns
            )
            del features
        elif closed_form and is_closed_form(network):
            chain = belief_chain(network.initial_belief(features), labels, objective, modules)
            stacked = input_of_modules(chain.belief, features)
            del features  # ``stacked`` has a copy
            feature_gradient = accumulate_closed_form(local_modules, stacked, chain, trunk_learns, target_only)
            loss = chain.loss
            del stacked, chain  # frees memory before the trunk's backward pass
        else:
            chain = belief_chain(network.initial_belief(features), labels, objective, modules)
            if compiled:
                local_modules = (partial(run_compiled, module) for module in local_modules)
            leaf = features.requires_grad_(trunk_learns)
            _accumulate_by_autograd(network, local_modules, leaf, chain, target_only)
            feature_gradient = leaf.grad
            loss = chain.loss
            del leaf, features, chain
    if run_trunk_backward is not None and feature_gradient is not None:
        run_trunk_backward(feature_gradient)
    return loss


def _accumulate_by_autograd(
    network: BeliefNetwork,
    local_modules: Iterable[Any],
    features: Tensor,
    chain: BeliefChain,
    target_only: bool,
) -> None:
    """Runs one module of any kind after the other forward and backward; adds to ``.grad``, that of ``features`` too."""
    only_input = chain.belief if target_only else None
    for number, module in enumerate(local_modules, 1):
        enter("forward", number)
        with torch.enable_grad():
            belief = chain.belief if only_input is None else only_input
            logits, features = network.run_module(module, belief, features)
            del belief
        features = network.hand_on(features)
        gradient = chain.advance(logits.detach())
        if logits.requires_grad:
            enter("backward", number)
            logits.backward(gradient)
        del logits, gradient
    enter("forward")
