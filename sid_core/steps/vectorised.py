"""The SID step for many modules of one shape at once, in a few large products."""

from typing import Unpack

import torch
from torch import Tensor
from torch.func import functional_call

from sid_core.network import BeliefNetwork, check_sizes
from sid_core.objective import Alpha, Objective, ObjectiveOptions, belief_dtype, check_batch, objective_of
from sid_core.phases import phase
from sid_core.steps.chain import BeliefChain, belief_chain
from sid_core.steps.closed_form import autocast_dtype, is_closed_form, is_plain_cascade, multiply_by_relu_slope
from sid_core.steps.stacked import StackedParameters, check_alike, stacked_parameters
from sid_core.steps.trunk import run_trunk


def vectorised_step(
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    objective: Objective | Alpha | None = None,
    *,
    chunk: int | None = None,
    **options: Unpack[ObjectiveOptions],
) -> Tensor:
    """The gradients of :func:`sid_core.published_step`, ``chunk`` modules at a time: accumulates them into ``.grad``.

    Once the beliefs are known, the local losses do not depend on each other, so all modules run backward together. The
    parameters of modules of one shape are stored in one tensor (:class:`sid_core.steps.stacked.StackedParameters`). In
    the forward pass, the part of all first layers that takes features is one product; only what needs the belief before
    it runs module by module.

    Modules of another kind than :class:`sid_core.LocalModule` run through ``torch.vmap`` after a teacher pass, as in
    ``published_step``; with dropout they draw one mask in each. Gradients are stored in buffers that stay between
    steps, even if ``zero_grad`` has set ``.grad`` to None: a gradient that a caller has kept is overwritten.

    Args:
        network: a cascade whose modules differ in their parameters only. Attributes of a module other than the settings
            of PyTorch's layers are not compared, and are taken to be the same in all modules.
        images: as for ``published_step``, and so are the next two: ``[B, ...]``.
        labels: ``[B]``.
        objective: an :class:`sid_core.Objective`, or alpha.
        chunk: the number of modules that run, and whose activations are held, at the same time; by default all.
        **options: as for ``published_step``.

    Returns:
        The loss of the step: the sum (or mean) of the local losses, in nats, shape ``[]``, detached.

    Raises:
        ValueError: ``network`` is not a cascade, the objective or ``chunk`` is not legal, there is not one int64 label
            per image, or the modules cannot be stacked.
    """
    if not is_plain_cascade(network):
        raise ValueError(
            f"network is a {type(network).__name__}, whose modules need each other's features one after the other, or "
            "are called in a way of its own; legal for vectorised_step: a Cascade (published_step and streamed_step "
            "take any network)"
        )
    count = len(network.local_modules)
    objective = objective_of(objective, options, count)
    check_batch(images, labels)
    chunk = count if chunk is None else chunk
    check_sizes(chunk=chunk)
    stack = stacked_parameters(network.local_modules)
    features, run_trunk_backward = run_trunk(network.trunk, images)
    accumulate = _accumulate_closed_form if is_closed_form(network) else _accumulate_by_autograd
    feature_gradient: Tensor | None = None
    with torch.no_grad():
        chain = belief_chain(network.initial_belief(features), labels, objective, count)
        adds = stack.begin_gradients()
        for start in range(0, count, chunk):
            part = slice(start, min(start + chunk, count))
            gradient = accumulate(stack, part, features, chain, adds)
            if feature_gradient is None:
                feature_gradient = gradient
            else:
                feature_gradient.add_(gradient)
            del gradient
    loss = chain.loss
    del chain, features
    if run_trunk_backward is not None and feature_gradient is not None:
        run_trunk_backward(feature_gradient)
    return loss


def _accumulate_closed_form(
    stack: StackedParameters, part: slice, features: Tensor, chain: BeliefChain, adds: bool
) -> Tensor:
    """Forward and backward of the ``n`` local modules of ``part``, without autograd.

    Args:
        stack: the parameters of all modules: weights ``[L, out, in]`` and biases ``[L, out]``, layer by layer.
        part: which of the modules.
        features: ``[B, d]``.
        chain: the beliefs, up to the one before ``part``; it advances over ``part``.
        adds: whether gradients are added to what ``stack.gradients`` hold, or overwrite it.

    Returns:
        The gradient of these modules' losses in the features, ``[B, d]``.
    """
    dtype = autocast_dtype(features)
    features = features.to(dtype)
    values = [value[part].to(dtype) for value in stack.values]  # under autocast, narrowed once for both passes
    gradients = [value[part] for value in stack.gradients]
    weights, biases = values[::2], values[1::2]
    hidden, logits, beliefs = _run_forward(weights, biases, features, chain.belief)
    gradient = chain.advance_all(logits.to(beliefs.dtype), beliefs).to(dtype)
    del logits
    with phase("backward"):
        for layer in range(len(weights) - 1, 0, -1):
            activation = hidden.pop().transpose(0, 1)  # [n, B, in]
            _add_product(gradients[2 * layer], gradient.transpose(1, 2), activation, adds)
            _add_sum(gradients[2 * layer + 1], gradient, adds)
            gradient = torch.bmm(gradient, weights[layer])
            # The gradient takes the place of the activation, which nothing reads any more.
            multiply_by_relu_slope(gradient, activation, 0, grad_input=activation)
            gradient = activation
        # The first layer takes beliefs, which differ from module to module, and features, which all share.
        classes = beliefs.shape[2]
        _add_sum(gradients[1], gradient, adds)
        _add_product(gradients[0][:, :, :classes], gradient.transpose(1, 2), beliefs[:-1].to(dtype), adds)
        in_rows = gradient.transpose(0, 1).flatten(1)  # [B, n * hidden]
        _add_product(gradients[0].view(-1, gradients[0].shape[2])[:, classes:], in_rows.t(), features, adds)
        return in_rows.mm(_by_features(weights[0], classes))


def _by_features(first_weight: Tensor, classes: int) -> Tensor:
    """The part of the first layers' weights ``[n, hidden, C + d]`` that takes features: ``[n * hidden, d]``, a view."""
    return first_weight.flatten(0, 1)[:, classes:]


def _run_forward(
    weights: list[Tensor], biases: list[Tensor], features: Tensor, initial_belief: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Runs ``n`` modules forward: one product for the features' share of all first layers, the rest one by one.

    Returns:
        The hidden layers, each ``[B, n, hidden]``, so that it is one matrix in a product with the features and a batch
        of matrices in products of each module; the logits ``[n, B, C]``; and the belief before the modules with theirs,
        ``[n + 1, B, C]``.
    """
    modules, width, _ = weights[0].shape
    batch, classes = initial_belief.shape
    shares = torch.addmm(biases[0].flatten(), features, _by_features(weights[0], classes).t())
    hidden = [shares.view(batch, modules, width)]
    hidden += [features.new_empty(batch, modules, weight.shape[1]) for weight in weights[1:-1]]
    # A copy of the biases, also for a batch of one sample: products are added to it.
    logits = biases[-1].unsqueeze(1).repeat(1, batch, 1)
    beliefs = initial_belief.new_empty(modules + 1, batch, classes)
    beliefs[0] = initial_belief
    # Indexing a tensor costs as much as a small product, so all views are made at once.
    belief_weights = weights[0][:, :, :classes].transpose(1, 2).unbind()
    later_layers = [
        (bias.unbind(), weight.transpose(1, 2).unbind(), layer.unbind(1))
        for bias, weight, layer in zip(biases[1:-1], weights[1:-1], hidden[1:], strict=True)
    ]
    last_weights = weights[-1].transpose(1, 2).unbind()
    logits_by_module, belief_by_module = logits.unbind(), beliefs.unbind()
    is_narrow = logits.dtype != beliefs.dtype
    for index, share in enumerate(hidden[0].unbind(1)):
        belief, next_belief = belief_by_module[index], belief_by_module[index + 1]
        activation = share.addmm_(belief.to(share.dtype) if is_narrow else belief, belief_weights[index]).relu_()
        for bias, weight, out in later_layers:
            activation = torch.addmm(bias[index], activation, weight[index], out=out[index]).relu_()
        own = logits_by_module[index].addmm_(activation, last_weights[index])
        torch.softmax(own.to(belief.dtype) if is_narrow else own, 1, out=next_belief)
    return hidden, logits, beliefs


def _add_sum(into: Tensor, gradient: Tensor, adds: bool) -> None:
    """Writes, or adds, the sum of ``gradient`` ``[n, B, k]`` over the batch into ``into`` ``[n, k]``."""
    if adds:
        into.add_(gradient.sum(dim=1, dtype=into.dtype))
    else:
        torch.sum(gradient, dim=1, dtype=into.dtype, out=into)


def _add_product(into: Tensor, one: Tensor, other: Tensor, adds: bool) -> None:
    """Writes, or adds, the product of two matrices, or of ``n`` pairs, into ``into``.

    Under autocast ``into`` has a wider type. If it is a part of larger matrices, PyTorch would compute a batch of
    products into it one by one, so the products are computed first.
    """
    if into.dtype == one.dtype and (into.dim() == 2 or into.is_contiguous()):
        (into.baddbmm_ if into.dim() == 3 else into.addmm_)(one, other, beta=int(adds))
    elif adds:
        into.add_(one.matmul(other))
    else:
        into.copy_(one.matmul(other))


def _accumulate_by_autograd(
    stack: StackedParameters, part: slice, features: Tensor, chain: BeliefChain, adds: bool
) -> Tensor:
    """As :func:`_accumulate_closed_form` for modules of any kind: one call for all of them, by ``torch.vmap``."""
    check_alike(stack.modules)
    modules = stack.modules[part]
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
    with phase("backward"):
        *by_parameter, by_features = torch.autograd.grad(logits, [*leaves, leaf], gradient, materialize_grads=True)
        for into, value in zip(stack.gradients, by_parameter, strict=True):
            into[part].add_(value) if adds else into[part].copy_(value)
    return by_features
