"""The SID step for many same-shaped modules at once: ``published``'s gradients in a few large products."""

from typing import Unpack

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call

from sid_core.network import BeliefNetwork
from sid_core.objective import Alpha, Objective, ObjectiveOptions, belief_dtype, check_batch, objective_of
from sid_core.phases import enter
from sid_core.steps.chain import BeliefChain, belief_chain
from sid_core.steps.closed_form import autocast_dtype, is_closed_form, is_plain_cascade, multiply_by_relu_slope
from sid_core.steps.stacked import StackedParameters, check_alike, stacked_parameters


def vectorised_step(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    *,
    chunk: int | None = None,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """:func:`sid_core.published_step`, with ``chunk`` modules in one go: accumulates gradients into ``.grad``.

    The local losses of all modules are independent once the beliefs are known, so their backward passes are one: the
    parameters of same-shaped modules are stored as one tensor (:class:`sid_core.steps.stacked.StackedParameters`), the
    features' share of every first layer is one product, and only what needs the belief before it runs module by module.

    Modules of another kind than :class:`sid_core.LocalModule` run through ``torch.vmap``, after a teacher pass as in
    ``published``: a module with dropout draws one mask in each. Gradients lie in buffers that stay between steps, also
    when ``zero_grad`` has set ``.grad`` to None: a gradient that was kept from one step is overwritten by the next.

    Args:
        network: a cascade whose modules differ in their parameters only; what a module keeps in an attribute of its
            own, other than settings of PyTorch's layers, can't be seen and is taken to be the same in all.
        images: as for ``published_step``, and so are the next two: ``[B, ...]``.
        labels: ``[B]``.
        objective: an :class:`sid_core.Objective`, or alpha.
        chunk: how many modules run at once, holding the activations of so many; all of them by default.
        **options: as for ``published_step``.

    Returns:
        The loss of the step: the local losses summed (or averaged) over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``network`` is not a cascade, the objective or ``chunk`` is not legal, there is not one int64 label
            per image, or the modules cannot be stacked.
    """
    if not is_plain_cascade(network):
        raise ValueError(
            f"network is a {type(network).__name__}, whose modules need each other's features one after the other, or "
            "are called in a way of its own; legal for vectorised_step: a Cascade (published_step and streamed_step "
            "take all)"
        )
    count = len(network.local_modules)
    objective = objective_of(objective, options, count)
    check_batch(images, labels)
    chunk = count if chunk is None else chunk
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk = {chunk!r}; legal: integers of 1 or more")
    stack = stacked_parameters(network.local_modules)
    with torch.enable_grad():
        features = network.trunk(images)
    trunk_output = get_gradient_edge(features) if features.requires_grad else None
    features = features.detach()
    accumulate = _accumulate_closed_form if is_closed_form(network) else _accumulate_by_autograd
    feature_gradient: Tensor | None = None
    with torch.no_grad():
        chain = belief_chain(network.initial_belief(features), labels, objective, count)
        adds = stack.begin_gradients()
        for start in range(0, count, chunk):
            part = slice(start, min(start + chunk, count))
            gradient = accumulate(network.local_modules, stack, part, features, chain, adds)
            enter("forward")
            if feature_gradient is None:
                feature_gradient = gradient
            else:
                feature_gradient.add_(gradient)
            del gradient
    loss = chain.loss
    del chain, features
    if trunk_output is not None and feature_gradient is not None:
        torch.autograd.backward(trunk_output, feature_gradient)
    return loss


def _accumulate_closed_form(
    _local_modules: nn.ModuleList,
    stack: StackedParameters,
    part: slice,
    features: Tensor,
    chain: BeliefChain,
    adds: bool,
) -> Tensor:
    """Forward and backward of the local modules ``part``; returns their gradient in the features, ``[B, d]``.

    Hidden layers are held as ``[B, n, h]``, so that they are one matrix for the features' products and one batch of
    matrices for the modules'.
    """
    dtype = autocast_dtype(features)
    features = features.to(dtype)
    values = [value[part].to(dtype) for value in stack.values]  # under autocast, narrowed once for both passes
    weights, biases = values[::2], values[1::2]
    batch, (modules, hidden, _), classes = len(features), weights[0].shape, chain.belief.shape[1]
    first_by_features = weights[0].reshape(modules * hidden, -1)[:, classes:]
    layers = [torch.addmm(biases[0].reshape(-1), features, first_by_features.t()).view(batch, modules, hidden)]
    layers += [features.new_empty(batch, modules, weight.shape[1]) for weight in weights[1:-1]]
    logits = biases[-1].unsqueeze(1).repeat(1, batch, 1)  # a copy even of one sample: it is written into
    beliefs = chain.belief.new_empty(modules + 1, batch, classes)
    beliefs[0] = chain.belief
    _run_forward(weights, biases, layers, logits, beliefs)
    gradient = chain.advance_all(logits.to(beliefs.dtype), beliefs).to(dtype)
    del logits
    enter("backward")
    gradients = [value[part] for value in stack.gradients]
    for index in range(len(weights) - 1, 0, -1):
        activation = layers.pop().transpose(0, 1)
        _add_product(gradients[2 * index], gradient.transpose(1, 2), activation, adds)
        _add_sum(gradients[2 * index + 1], gradient, adds)
        gradient = torch.bmm(gradient, weights[index])
        multiply_by_relu_slope(gradient, activation, 0, grad_input=activation)  # takes the place of the activation
        gradient = activation
    _add_sum(gradients[1], gradient, adds)
    _add_product(gradients[0][:, :, :classes], gradient.transpose(1, 2), beliefs[:-1].to(dtype), adds)
    flat = gradient.transpose(0, 1).reshape(batch, modules * hidden)
    _add_product(gradients[0].view(modules * hidden, -1)[:, classes:], flat.t(), features, adds)
    return flat.mm(first_by_features)


def _run_forward(
    weights: list[Tensor], biases: list[Tensor], layers: list[Tensor], logits: Tensor, beliefs: Tensor
) -> None:
    """Fills in what depends on the belief before it, one module after the other; ``logits`` hold the last biases."""
    by_belief = weights[0][:, :, : beliefs.shape[2]].transpose(1, 2).unbind()
    later = [
        (bias.unbind(), weight.transpose(1, 2).unbind(), layer.unbind(1))
        for bias, weight, layer in zip(biases[1:-1], weights[1:-1], layers[1:], strict=True)
    ]
    last_weights, logits_by_module = weights[-1].transpose(1, 2).unbind(), logits.unbind()
    firsts, belief_by_module = layers[0].unbind(1), beliefs.unbind()
    is_narrow = logits.dtype != beliefs.dtype
    for index, first in enumerate(firsts):
        belief, next_belief = belief_by_module[index], belief_by_module[index + 1]
        activation = first.addmm_(belief.to(first.dtype) if is_narrow else belief, by_belief[index]).relu_()
        for bias, weight, out in later:
            activation = torch.addmm(bias[index], activation, weight[index], out=out[index]).relu_()
        own = logits_by_module[index].addmm_(activation, last_weights[index])
        torch.softmax(own.to(belief.dtype) if is_narrow else own, 1, out=next_belief)


def _add_sum(into: Tensor, gradient: Tensor, adds: bool) -> None:
    """Adds ``gradient`` ``[n, B, k]``, summed over the batch, into ``[n, k]``."""
    if adds:
        into.add_(gradient.sum(dim=1, dtype=into.dtype))
    else:
        torch.sum(gradient, dim=1, dtype=into.dtype, out=into)


def _add_product(into: Tensor, one: Tensor, other: Tensor, adds: bool) -> None:
    """Adds the product of two matrices, or of ``n`` pairs, into ``into``, which is wider than they under autocast.

    A batch of products straight into a part of larger matrices would be computed one by one.
    """
    if into.dtype == one.dtype and (into.dim() == 2 or into.is_contiguous()):
        (into.baddbmm_ if into.dim() == 3 else into.addmm_)(one, other, beta=int(adds))
    elif adds:
        into.add_(one.matmul(other))
    else:
        into.copy_(one.matmul(other))


def _accumulate_by_autograd(
    local_modules: nn.ModuleList,
    stack: StackedParameters,
    part: slice,
    features: Tensor,
    chain: BeliefChain,
    adds: bool,
) -> Tensor:
    """The same for modules of any kind: one call for all of them, by ``torch.vmap``."""
    check_alike(local_modules)
    modules = list(local_modules)[part]
    beliefs, teacher_logits = [chain.belief], []
    for module in modules:
        logits = module(beliefs[-1], features)
        teacher_logits.append(logits.to(belief_dtype(logits)))
        beliefs.append(teacher_logits[-1].softmax(dim=1))
    before = torch.stack(beliefs[:-1])

    def call(values: list[Tensor], belief: Tensor, features: Tensor) -> Tensor:
        logits: Tensor = functional_call(modules[0], dict(zip(stack.names, values, strict=True)), (belief, features))
        return logits.to(belief_dtype(logits))

    with torch.enable_grad():
        leaves = [value[part].detach().requires_grad_() for value in stack.values]
        leaf = features.detach().requires_grad_()
        logits = torch.vmap(call, in_dims=(0, 0, None), randomness="different")(leaves, before, leaf)
    gradient = chain.advance_all(logits.detach(), torch.stack(beliefs), torch.stack(teacher_logits))
    enter("backward")
    *by_parameter, by_features = torch.autograd.grad(logits, [*leaves, leaf], gradient, materialize_grads=True)
    for into, value in zip(stack.gradients, by_parameter, strict=True):
        into[part].add_(value) if adds else into[part].copy_(value)
    return by_features
