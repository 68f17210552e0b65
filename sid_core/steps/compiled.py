"""The streamed step with compiled modules: one graph for all modules of one shape.

The loop over modules stays in Python, so compilation takes as long for a hundred modules as for one, and the
activations of a module end with its call. A local module as built has its closed form compiled, forward and backward in
one graph. A module of another kind is compiled as it is, and runs backward through autograd.

Sizes are constants of a graph. Parts that cannot be compiled as one graph raise an error. Parts are not changed: what
is compiled here runs uncompiled elsewhere.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core.network import BeliefNetwork
from sid_core.objective import Direction, Objective, belief_dtype, log_smoothed_label, reverse_divergence_and_gradient
from sid_core.phases import enter
from sid_core.steps.closed_form import autocast_dtype, layers_of


def run_compiled(part: nn.Module, *inputs: Tensor) -> Any:
    """``part(*inputs)``, compiled: parts that differ in nothing but the contents of their tensors share a graph."""
    return _compiled_call()(part, *inputs)


def accumulate_compiled(
    network: BeliefNetwork,
    local_modules: Iterable[nn.Module],
    features: Tensor,
    labels: Tensor,
    objective: Objective,
    wants_feature_gradient: bool,
) -> tuple[Tensor, Tensor | None]:
    """Runs one local module after the other forward and backward, and adds to ``.grad`` of the parameters.

    Call it with gradients disabled.

    Args:
        network: for which :func:`sid_core.steps.closed_form.is_closed_form` holds.
        local_modules: its modules, first to last.
        features: ``[B, d]``.
        labels: ``[B]``.
        objective: of the step.
        wants_feature_gradient: whether the features need a gradient.

    Returns:
        The loss, ``[]``, and the gradient of all modules' losses in the features, ``[B, d]``, or None.
    """
    count = len(network.local_modules)
    belief = network.initial_belief(features)
    alphas = objective.alphas(count)
    # Tensors, since numbers would be constants of a graph: [alpha_i, alpha_{i+1}] of each module.
    weights = torch.tensor(
        [*zip(alphas, (*alphas[1:], 1.0), strict=True)], dtype=belief.dtype, device=belief.device
    ).unbind()
    run = _compiled_module(objective.direction, objective.divisor(count))
    if objective.direction == "reverse":
        state, label, loss = belief.log(), log_smoothed_label(labels, belief, objective.smoothing), belief.new_zeros(())
    else:
        # As in BeliefChain: the first term of the loss, and one term per module.
        first_weight = (alphas[0] - 1) / (len(labels) * objective.divisor(count))
        state, label, loss = belief, labels, torch.special.entr(belief).sum().mul_(first_weight)
    feature_gradient = torch.zeros_like(features) if wants_feature_gradient else None
    for number, (module, weight) in enumerate(zip(local_modules, weights, strict=True), 1):
        enter("forward", number)
        parameters = [parameter for layer in layers_of(module) for parameter in layer]
        state, loss, feature_gradient, gradients = run(
            state, loss, features, feature_gradient, label, weight, parameters
        )
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = gradient
            else:
                parameter.grad.add_(gradient)
        del gradients, gradient
    enter("forward")
    return loss, feature_gradient


def _call(part: nn.Module, *inputs: Tensor) -> Any:
    return part(*inputs)


@cache
def _compiled_call() -> Callable[..., Any]:
    return torch.compile(_call, fullgraph=True, dynamic=False)


@cache
def _compiled_module(direction: Direction, parts: int) -> Callable[..., Any]:
    """The step of one module as a function of tensors, compiled.

    The state is the belief before the module, ``[B, C]``, and the label is ``[B]``, int64. In direction ``reverse``
    both are logarithms of probabilities, ``[B, C]``.
    """

    def run_module(
        state: Tensor,
        loss: Tensor,
        features: Tensor,
        feature_gradient: Tensor | None,
        label: Tensor,
        weight: Tensor,
        parameters: list[Tensor],
    ) -> tuple[Tensor, Tensor, Tensor | None, list[Tensor]]:
        dtype = autocast_dtype(features)
        belief = state.exp() if direction == "reverse" else state
        inputs = [torch.cat((belief.to(dtype), features.to(dtype)), dim=1)]
        for index in range(0, len(parameters) - 2, 2):
            inputs.append(F.linear(inputs[-1], parameters[index], parameters[index + 1]).relu())
        logits = F.linear(inputs[-1], parameters[-2], parameters[-1])
        log_belief = torch.log_softmax(logits.to(belief_dtype(logits)), 1)
        scale = 1 / (len(features) * parts)
        if direction == "reverse":
            log_anchor = torch.lerp(state, label, weight[0])
            divergence, by_logits = reverse_divergence_and_gradient(log_belief, log_belief.exp(), log_anchor, parts)
            own_loss = divergence.sum() * scale
            new_state = log_belief
        else:
            new_state = log_belief.exp()
            label_belief = (label.unsqueeze(1) == torch.arange(state.shape[1], device=label.device)).to(state.dtype)
            difference = new_state - torch.lerp(state, label_belief, weight[0])
            own_loss = ((difference - weight[1] * new_state) * log_belief).sum() * scale
            by_logits = difference * scale
        gradient = by_logits.to(dtype)
        gradients: list[Tensor] = []
        for index in range(len(parameters) - 2, -1, -2):
            parameter, bias = parameters[index], parameters[index + 1]
            activation = inputs[index // 2]
            gradients += [gradient.sum(dim=0, dtype=bias.dtype), gradient.t().mm(activation).to(parameter.dtype)]
            if index:
                gradient = gradient.mm(parameter) * (activation > 0)
            elif feature_gradient is not None:
                by_features = gradient.mm(parameter[:, belief.shape[1] :])
                feature_gradient = feature_gradient + by_features.to(feature_gradient.dtype)
        return new_state, loss + own_loss, feature_gradient, gradients[::-1]

    return torch.compile(run_module, fullgraph=True, dynamic=False)
