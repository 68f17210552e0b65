"""Forward and backward of :class:`sid_core.LocalModule` without autograd.

A local module is a short stack of linear layers and ReLUs, so its backward pass is a few products per layer. Written
out, they are added straight to ``.grad`` and to the gradient in the features, and the gradient in the belief, which
nothing needs, is not computed. ``streamed_step`` runs modules this way where it can, and through autograd elsewhere.

Under autocast, products are computed in its type, as in autograd; the gradients of parameters and features add up in
the types of these.
"""

from collections.abc import Iterable
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core.network import BeliefNetwork, Cascade, LocalModule
from sid_core.objective import belief_dtype
from sid_core.phases import enter
from sid_core.steps.chain import BeliefChain

Layer = tuple[nn.Parameter, nn.Parameter]

multiply_by_relu_slope = torch.ops.aten.threshold_backward.grad_input


def is_closed_form(network: BeliefNetwork) -> bool:
    """Whether ``network`` is a cascade as built, of modules for which :func:`has_closed_form` holds."""
    return is_plain_cascade(network) and has_closed_form(*network.local_modules)


def is_plain_cascade(network: BeliefNetwork) -> bool:
    """Whether the class of ``network`` calls modules as a cascade does.

    It asks the class, since a profiler may put a ``run_module`` of its own into the network itself.
    """
    kind = type(network)
    return kind.run_module is Cascade.run_module and kind.hand_on is Cascade.hand_on


def has_closed_form(*modules: nn.Module) -> bool:
    """Whether all ``modules`` are local modules as built, with nothing attached that only a call of them would run.

    Every step asks this of every module. So it reads the dictionaries of ``torch.nn.Module``, which is five times
    faster than its attributes, and finds out once what is the same for all modules.
    """
    if torch.nn.modules.module._has_any_global_hook():
        return False
    leave_out_double = _leaves_out_double()
    for module in modules:
        if type(module) is not LocalModule or is_hooked(module):
            return False
        stack = module._modules["mlp"]
        if type(stack) is not nn.Sequential or is_hooked(stack):
            return False
        expected: type[nn.Module] = nn.Linear
        for layer in stack._modules.values():
            if type(layer) is not expected or is_hooked(layer):
                return False
            if expected is nn.Linear:
                for parameter in layer._parameters.values():
                    if not _is_plain(parameter) or (leave_out_double and parameter.dtype == torch.float64):
                        return False
                expected = nn.ReLU
            else:
                expected = nn.Linear
        if expected is nn.Linear or len(stack._modules) == 1:  # the last layer is linear, and not the first
            return False
    return True


def input_of_modules(belief: Tensor, features: Tensor) -> Tensor:
    """``belief`` ``[B, C]`` and ``features`` ``[B, d]`` in one tensor ``[B, C + d]``, in the type of the products."""
    dtype = autocast_dtype(features)
    return torch.cat((belief.to(dtype), features.to(dtype)), dim=1)


def autocast_dtype(like: Tensor) -> torch.dtype:
    """The type of products where autocast is on for the device of ``like``, and else that of ``like``."""
    device = like.device.type
    is_on = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if is_on else like.dtype


def accumulate_closed_form(
    local_modules: Iterable[nn.Module],
    stacked: Tensor,
    chain: BeliefChain,
    wants_feature_gradient: bool,
    target_only: bool = False,
) -> Tensor | None:
    """Runs one module after the other forward and backward, and adds to ``.grad`` of the parameters.

    Call it with gradients disabled.

    Args:
        local_modules: modules for which :func:`has_closed_form` holds, first to last.
        stacked: :func:`input_of_modules`, ``[B, C + d]``. Each belief in turn is written into the first ``C`` columns,
            so that the input of a module is never built anew.
        chain: the beliefs; it advances from the first module to the last.
        wants_feature_gradient: whether the features need a gradient.
        target_only: every module takes the initial belief, so that ``stacked`` stays as it is.

    Returns:
        The gradient of all modules' losses in the features, ``[B, d]``, or None.
    """
    classes = chain.belief.shape[1]
    belief_place = stacked[:, :classes]
    is_narrow = stacked.dtype != chain.belief.dtype
    feature_gradient: Tensor | None = None
    for number, module in enumerate(local_modules, 1):
        enter("forward", number)
        if number > 1 and not target_only:
            belief_place.copy_(chain.belief)
        first, *others = layers = layers_of(module)
        inputs = [stacked]  # of each linear layer
        for weight, bias in layers[:-1]:
            # ReLU in place: its gradient needs the result only, and a linear layer needs its input only.
            inputs.append(F.linear(inputs[-1], weight, bias).relu_())
        logits = F.linear(inputs[-1], *layers[-1])
        # Of a narrow type under autocast; a product of parameters in double precision is not narrowed.
        gradient = chain.advance(logits.to(belief_dtype(logits)) if is_narrow else logits)
        if is_narrow:
            gradient = gradient.to(stacked.dtype)
        del logits
        enter("backward", number)
        while others:
            gradient = layer_backward(*others.pop(), inputs.pop(), gradient)
        feature_gradient = first_layer_backward(
            *first, stacked, gradient, feature_gradient, classes if wants_feature_gradient else None
        )
        del gradient
    enter("forward")
    return feature_gradient


def layers_of(module: nn.Module) -> list[Layer]:
    """The weight ``[out, in]`` and the bias ``[out]`` of each linear layer of a local module as built.

    It reads the dictionaries of ``torch.nn.Module``, which is several times faster than its attributes.
    """
    stack = module._modules["mlp"]
    linears = list(stack._modules.values())[::2]  # type: ignore[union-attr]
    return [(linear._parameters["weight"], linear._parameters["bias"]) for linear in linears]


def layer_backward(weight: nn.Parameter, bias: nn.Parameter, activation: Tensor, gradient: Tensor) -> Tensor:
    """The backward pass of a linear layer and of the ReLU before it; adds to ``.grad`` of the layer's parameters.

    Args:
        weight: of the layer, ``[out, in]``.
        bias: of the layer, ``[out]``.
        activation: what it took, the output of the ReLU, ``[B, in]``.
        gradient: in its output, ``[B, out]``, in the type of ``activation``.

    Returns:
        The gradient in the input of the ReLU, ``[B, in]``.
    """
    _add_parameter_gradients(weight, bias, activation, gradient)
    gradient = gradient.mm(weight)
    multiply_by_relu_slope(gradient, activation, 0, grad_input=gradient)
    return gradient


def first_layer_backward(
    weight: nn.Parameter,
    bias: nn.Parameter,
    stacked: Tensor,
    gradient: Tensor,
    feature_gradient: Tensor | None,
    classes: int | None,
) -> Tensor | None:
    """The backward pass of a module's first layer; adds to ``.grad`` of the layer's parameters.

    The gradient in the belief is not computed, for nothing needs it.

    Args:
        weight: of the layer, ``[hidden, C + d]``.
        bias: of the layer, ``[hidden]``.
        stacked: what it took, ``[B, C + d]``.
        gradient: in its output, ``[B, hidden]``, in the type of ``stacked``.
        feature_gradient: what the gradient in the features is added to, ``[B, d]``; None if there is none yet.
        classes: C; None if the features need no gradient.

    Returns:
        The gradient in the features so far, ``[B, d]``, or None.
    """
    _add_parameter_gradients(weight, bias, stacked, gradient)
    if classes is None:
        return None
    feature_weight = weight[:, classes:]
    return add_product(feature_gradient, gradient, feature_weight, feature_weight.dtype)


def add_product(into: Tensor | None, one: Tensor, other: Tensor, dtype: torch.dtype) -> Tensor:
    """Adds the product of two matrices to ``into`` in place; if there is none, returns the product as ``dtype``.

    Under autocast, the type of ``into`` may be wider than that of the product.
    """
    if into is None:
        return one.mm(other).to(dtype)
    return into.addmm_(one, other) if one.dtype == into.dtype == other.dtype else into.add_(one.mm(other))


def _add_parameter_gradients(weight: nn.Parameter, bias: nn.Parameter, activation: Tensor, gradient: Tensor) -> None:
    """Adds the gradients of a layer for its input ``[B, in]`` and the gradient in its output ``[B, out]``."""
    if weight.requires_grad:
        product = add_product(weight.grad, gradient.t(), activation, weight.dtype)
        if weight.grad is None:
            weight.grad = product
    if bias.requires_grad:
        if bias.grad is None:
            bias.grad = gradient.sum(dim=0, dtype=bias.dtype)
        else:
            bias.grad.add_(gradient.sum(dim=0, dtype=bias.dtype))


def _leaves_out_double() -> bool:
    """Whether autocast is on. It narrows all parameters except those of double precision."""
    return torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda")


def is_hooked(module: nn.Module) -> bool:
    """Whether a call of ``module`` runs more, or other code, than its class's ``forward``."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
        or module._compiled_call_impl is not None
    )


def _is_plain(parameter: nn.Parameter | None) -> TypeGuard[nn.Parameter]:
    return (
        isinstance(parameter, nn.Parameter)
        and not parameter._backward_hooks
        and not parameter._post_accumulate_grad_hooks
    )
