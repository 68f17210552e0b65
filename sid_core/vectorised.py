"""The SID step for many same-shaped modules at once: ``published``'s gradients in a few large products."""

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call

from sid_core.closed_form import autocast_dtype, has_closed_form, multiply_by_relu_slope
from sid_core.network import BeliefNetwork, Cascade
from sid_core.objective import (
    DEFAULT_SMOOTHING,
    Alpha,
    BeliefChain,
    Direction,
    Reduction,
    alpha_per_module,
    belief_chain,
    belief_dtype,
    check_objective,
)
from sid_core.phases import enter
from sid_core.stacked import StackedParameters, stacked_parameters


def vectorised_step(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    alpha: Alpha,
    *,
    chunk: int | None = None,
    direction: Direction = "forward",
    smoothing: float = DEFAULT_SMOOTHING,
    reduction: Reduction = "sum",
) -> Tensor:
    """:func:`sid_core.published_step`, with ``chunk`` modules in one go: accumulates gradients into ``.grad``.

    The local losses of all modules are independent once the beliefs are known, so their backward passes are one: the
    parameters of same-shaped modules are stored as one tensor (:class:`sid_core.stacked.StackedParameters`), the
    features' share of every first layer is one product, and only what needs the belief before it runs module by module.

    Args:
        network: a cascade whose modules differ in their parameters only.
        images: as for ``published_step``, and so are the next two: ``[B, ...]``.
        labels: ``[B]``.
        alpha: one number or one a module.
        chunk: how many modules run at once, holding the activations of so many; all of them by default.
        direction: as for ``published_step``, and so are ``smoothing`` and ``reduction``.
        smoothing: in (0, 1).
        reduction: ``sum`` or ``mean``.

    Returns:
        The loss of the step: the local losses summed (or averaged) over modules, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``network`` is no cascade, ``alpha``, ``chunk`` or a choice of the objective is not legal, there is
            not one label an image, or the modules can't be stacked.
    """
    if not isinstance(network, Cascade):
        raise ValueError(
            f"network is a {type(network).__name__}, whose modules need each other's features one after the other; "
            "legal for vectorised_step: a Cascade (published_step and streamed_step take both)"
        )
    count = len(network.local_modules)
    alphas = alpha_per_module(alpha, count)
    check_objective(direction, smoothing, reduction)
    chunk = count if chunk is None else chunk
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk = {chunk!r}; legal: integers of 1 or more")
    stack = stacked_parameters(network.local_modules)
    with torch.enable_grad():
        features = network.trunk(images)
    trunk_output = get_gradient_edge(features) if features.requires_grad else None
    features = features.detach()
    accumulate = (
        _accumulate_closed_form if all(map(has_closed_form, network.local_modules)) else _accumulate_by_autograd
    )
    feature_gradient: Tensor | None = None
    with torch.no_grad():
        chain = belief_chain(network.initial_belief(features), labels, alphas, direction, smoothing, reduction)
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
    layers += [features.new_empty(batch, modules, hidden) for _ in weights[2:]]
    logits = features.new_empty(modules, batch, classes)
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
    """Fills in what depends on the belief before it, one module after the other."""
    by_belief = weights[0][:, :, : beliefs.shape[2]].transpose(1, 2).unbind()
    later = [
        (bias.unbind(), weight.transpose(1, 2).unbind(), out)
        for bias, weight, out in zip(
            biases[1:], weights[1:], [*(layer.unbind(1) for layer in layers[1:]), logits.unbind()], strict=True
        )
    ]
    firsts, belief_by_module = layers[0].unbind(1), beliefs.unbind()
    for index, first in enumerate(firsts):
        activation = first.addmm_(belief_by_module[index].to(first.dtype), by_belief[index]).relu_()
        for bias, weight, out in later[:-1]:
            activation = torch.addmm(bias[index], activation, weight[index], out=out[index]).relu_()
        bias, weight, out = later[-1]
        belief = belief_by_module[index + 1]
        torch.softmax(
            torch.addmm(bias[index], activation, weight[index], out=out[index]).to(belief.dtype), 1, out=belief
        )


def _add_sum(into: Tensor, gradient: Tensor, adds: bool) -> None:
    """Adds ``gradient`` ``[n, B, k]``, summed over the batch, into ``[n, k]``."""
    if adds:
        into.add_(gradient.sum(dim=1, dtype=into.dtype))
    else:
        torch.sum(gradient, dim=1, dtype=into.dtype, out=into)


def _add_product(into: Tensor, one: Tensor, other: Tensor, adds: bool) -> None:
    """Adds the product of two matrices, or of ``n`` pairs, into ``into``, which is wider than they under autocast."""
    if into.dtype == one.dtype:
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
    modules = list(local_modules)[part]
    beliefs = [chain.belief]
    for module in modules:
        logits = module(beliefs[-1], features)
        beliefs.append(logits.to(belief_dtype(logits)).softmax(dim=1))
    before = torch.stack(beliefs[:-1])

    def call(values: list[Tensor], belief: Tensor, features: Tensor) -> Tensor:
        logits: Tensor = functional_call(modules[0], dict(zip(stack.names, values, strict=True)), (belief, features))
        return logits.to(belief_dtype(logits))

    with torch.enable_grad():
        leaves = [value[part].detach().requires_grad_() for value in stack.values]
        leaf = features.detach().requires_grad_()
        logits = torch.vmap(call, in_dims=(0, 0, None), randomness="different")(leaves, before, leaf)
    gradient = chain.advance_all(logits.detach(), torch.stack(beliefs))
    enter("backward")
    *by_parameter, by_features = torch.autograd.grad(logits, [*leaves, leaf], gradient, materialize_grads=True)
    for into, value in zip(stack.gradients, by_parameter, strict=True):
        into[part].add_(value) if adds else into[part].copy_(value)
    return by_features
