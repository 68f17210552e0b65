"""The streamed step with compiled modules: one graph for all modules of one shape.

The loop over modules stays in Python, so compilation takes as long for a hundred modules as for one, and the
activations of a module end with its call. A local module as built has its closed form compiled, forward and backward in
one graph. A module of another kind is compiled as it is, and runs backward through autograd.

Sizes are constants of a graph. Parts that cannot be compiled as one graph raise an error. Parts are not changed: what
is compiled here runs uncompiled elsewhere.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core.network import BeliefNetwork
from sid_core.objective import Direction, Objective, log_smoothed_label, reverse_divergence_and_gradient
from sid_core.phases import enter
from sid_core.steps.closed_form import autocast_dtype, layers_of

_WITHOUT_PRODUCT = frozenset({nn.Sequential, nn.Flatten, nn.Identity})
_ONE_PRODUCT = frozenset({nn.Linear, nn.Conv2d})
_SIMPLE = _WITHOUT_PRODUCT | _ONE_PRODUCT


def run_compiled(part: nn.Module, *inputs: Tensor) -> Any:
    """``part(*inputs)``, compiled: parts that differ in nothing but the contents of their tensors share a graph.

    A part that is a single product has nothing to fuse, and runs as it is: the call of a graph that autograd follows
    costs more than it gains.
    """
    return part(*inputs) if _is_one_product(part) else _compiled_call()(part, *inputs)


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
    features = features.contiguous()
    belief = network.initial_belief(features)
    alphas, parts = objective.alphas(count), objective.divisor(count)
    # Tensors, since numbers would be constants of a graph: [alpha_i, alpha_{i+1}] of each module.
    weights = torch.tensor(
        [*zip(alphas, (*alphas[1:], 1.0), strict=True)], dtype=belief.dtype, device=belief.device
    ).unbind()
    if objective.direction == "reverse":
        state, label, loss = belief.log(), log_smoothed_label(labels, belief, objective.smoothing), belief.new_zeros(())
    else:
        # As in BeliefChain: the first term of the loss, and one term per module.
        first_weight = (alphas[0] - 1) / (len(labels) * parts)
        state, label, loss = belief, labels, torch.special.entr(belief).sum().mul_(first_weight)
    feature_gradient = features.new_zeros(features.shape) if wants_feature_gradient else None
    kind = _Kind(
        objective.direction, parts, features.shape, features.dtype, features.device, autocast_dtype(features),
        network.classes, wants_feature_gradient,
    )  # fmt: skip
    for number, (module, weight) in enumerate(zip(local_modules, weights, strict=True), 1):
        enter("forward", number)
        parameters = [parameter for layer in layers_of(module) for parameter in layer]
        inputs = [state, loss, label, weight, features, *parameters]
        if feature_gradient is not None:
            inputs.append(feature_gradient)
        state, loss, *gradients = _graph_for(kind, inputs, parameters)(*inputs)
        del inputs
        if feature_gradient is not None:
            feature_gradient = gradients.pop()
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


def forget_compiled() -> None:
    """Forgets what this module and ``torch.compile`` have compiled in this process."""
    _graphs.clear()
    torch.compiler.reset()


@contextmanager
def without_compilation() -> Iterator[None]:
    """A context in which a step raises ``RuntimeError`` instead of compiling anything, here or by ``torch.compile``."""
    _forbidden.append(True)
    try:
        with torch.compiler.set_stance("fail_on_recompile"):
            yield
    finally:
        _forbidden.pop()


def _is_one_product(part: nn.Module) -> bool:
    products = 0
    for one in part.modules():  # as few as it takes: this runs in every step
        products += type(one) in _ONE_PRODUCT
        if products > 1 or type(one) not in _SIMPLE:
            return False
    return True


def _call(part: nn.Module, *inputs: Tensor) -> Any:
    return part(*inputs)


@cache
def _compiled_call() -> Callable[..., Any]:
    return torch.compile(_call, fullgraph=True, dynamic=False)


class _Kind(NamedTuple):
    """What the graph of a module depends on, apart from the module's parameters."""

    direction: Direction
    parts: int
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device
    product_dtype: torch.dtype
    classes: int
    wants_feature_gradient: bool


_graphs: dict[Hashable, Callable[..., Sequence[Tensor]]] = {}
_forbidden: list[bool] = []  # one entry per context of :func:`without_compilation` that is active


def _graph_for(kind: _Kind, inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """The compiled :func:`_run_module` for inputs of these shapes.

    A lookup of its own: ``torch.compile`` checks a hundred conditions before each call, which takes as long as a tenth
    of a small module.
    """
    key = kind, *[(parameter.shape, parameter.stride(), parameter.dtype) for parameter in parameters]
    graph = _graphs.get(key)
    if graph is None:
        if _forbidden:
            raise RuntimeError(f"there is no graph of a module for a batch of shape {tuple(kind.shape)}")
        from torch._inductor import compile as compile_graph
        from torch.fx.experimental.proxy_tensor import make_fx

        examples = [value.detach() for value in inputs]
        traced = make_fx(partial(_run_module, kind))(*examples)
        graph = _graphs[key] = compile_graph(traced, [*examples])
    return graph


def _run_module(
    kind: _Kind, state: Tensor, loss: Tensor, label: Tensor, weight: Tensor, features: Tensor, *others: Tensor
) -> tuple[Tensor, ...]:
    """One module forward and backward, as a function of tensors that changes none of them.

    Args:
        kind: constants.
        state: the belief before the module, ``[B, C]``; in direction ``reverse`` its logarithm.
        loss: of the modules so far, ``[]``.
        label: ``[B]``, int64; in direction ``reverse`` the logarithm of the smoothed label, ``[B, C]``.
        weight: ``[alpha_i, alpha_{i+1}]``.
        features: ``[B, d]``.
        others: weight and bias of each layer, and the gradient in the features so far, ``[B, d]``, if it is wanted.

    Returns:
        The next state and loss, the gradients of the parameters, and that in the features.
    """
    parameters = list(others)
    feature_gradient = parameters.pop() if kind.wants_feature_gradient else None
    dtype = kind.product_dtype
    belief = state.exp() if kind.direction == "reverse" else state
    inputs = [torch.cat((belief.to(dtype), features.to(dtype)), dim=1)]
    for index in range(0, len(parameters) - 2, 2):
        inputs.append(F.linear(inputs[-1], parameters[index], parameters[index + 1]).relu())
    logits = F.linear(inputs[-1], parameters[-2], parameters[-1])
    log_belief = torch.log_softmax(logits.to(state.dtype), 1)
    scale = 1 / (len(features) * kind.parts)
    if kind.direction == "reverse":
        log_anchor = torch.lerp(state, label, weight[0])
        divergence, by_logits = reverse_divergence_and_gradient(log_belief, log_belief.exp(), log_anchor, kind.parts)
        own_loss = divergence.sum() * scale
        new_state = log_belief
    else:
        new_state = log_belief.exp()
        label_belief = (label.unsqueeze(1) == torch.arange(kind.classes, device=label.device)).to(state.dtype)
        difference = new_state - torch.lerp(state, label_belief, weight[0])
        own_loss = ((difference - weight[1] * new_state) * log_belief).sum() * scale
        by_logits = difference * scale
    gradient = by_logits.to(dtype)
    gradients: list[Tensor] = []
    for index in range(len(parameters) - 2, -1, -2):
        matrix, bias = parameters[index], parameters[index + 1]
        activation = inputs[index // 2]
        gradients += [gradient.sum(dim=0, dtype=bias.dtype), gradient.t().mm(activation).to(matrix.dtype)]
        if index:
            gradient = gradient.mm(matrix.to(dtype)) * (activation > 0)
        elif feature_gradient is not None:
            by_features = gradient.mm(matrix[:, kind.classes :].to(dtype))
            feature_gradient = feature_gradient + by_features.to(feature_gradient.dtype)
    outputs = new_state, loss + own_loss, *gradients[::-1]
    return outputs if feature_gradient is None else (*outputs, feature_gradient)
