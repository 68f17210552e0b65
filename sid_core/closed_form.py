"""The backward pass of a :class:`sid_core.LocalModule` written out: no graph, gradients added where they belong.

A local module is a short stack of linear layers and ReLUs, so the chain rule through it is three products a layer.
Written out, they add straight into ``.grad`` and into the features' gradient, and the gradient of the belief, which
nobody asks for, is not computed. ``streamed_step`` takes this way where it can and autograd where it can't.
"""

import torch
from torch import Tensor, nn

from sid_core.network import LocalModule
from sid_core.objective import refine
from sid_core.phases import enter


def has_closed_form(module: nn.Module) -> bool:
    """Whether ``module`` is a local module as built, with nothing attached that autograd would have to call.

    Asked for every module in every step, so it reads the dictionaries that ``torch.nn.Module`` keeps, which is five
    times faster than going through its attributes.
    """
    if type(module) is not LocalModule or torch.nn.modules.module._has_any_global_hook():
        return False
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return False
    stack = module._modules["mlp"]
    if type(stack) is not nn.Sequential or _is_hooked(module) or _is_hooked(stack):
        return False
    expected: type[nn.Module] = nn.Linear
    for layer in stack._modules.values():
        if type(layer) is not expected or _is_hooked(layer):
            return False
        if expected is nn.Linear and not all(_is_plain(parameter) for parameter in layer._parameters.values()):
            return False
        expected = nn.ReLU if expected is nn.Linear else nn.Linear
    return expected is nn.ReLU  # the last layer was linear


def closed_form_module_step(
    module: nn.Module,
    features: Tensor,
    belief: Tensor,
    log_belief: Tensor,
    label_belief: Tensor,
    alpha: float,
    loss: Tensor,
) -> tuple[Tensor, Tensor]:
    """Forward and backward of a module that has a closed form; call without gradients.

    Args:
        module: one for which :func:`has_closed_form` holds.
        features: the leaf ``[B, d]`` whose ``.grad`` gathers the gradient, if it requires one.
        belief: ``p_{i-1}``, ``[B, C]``.
        log_belief: its logarithm.
        label_belief: ``p_y``, one-hot, ``[B, C]``.
        alpha: the weight of the label, in (0, 1].
        loss: shape ``[]``; ``B * L_i`` is added in place.

    Returns:
        ``p_i`` and its logarithm, each ``[B, C]``.
    """
    linears: list[nn.Linear] = list(module.mlp)[::2]  # type: ignore[arg-type]
    inputs = [torch.cat((belief, features), dim=1)]
    for linear in linears[:-1]:
        # ReLU in place: its gradient needs the result only, and a linear layer needs its input only.
        inputs.append(torch.addmm(linear.bias, inputs[-1], linear.weight.t()).relu_())
    logits = torch.addmm(linears[-1].bias, inputs[-1], linears[-1].weight.t())
    next_belief, next_log_belief, gradient = refine(logits, belief, log_belief, label_belief, alpha, loss)
    del logits
    enter("backward")
    for linear in reversed(linears[1:]):
        activation = inputs.pop()
        _add_parameter_gradients(linear, activation, gradient)
        gradient = gradient.mm(linear.weight)
        torch.ops.aten.threshold_backward.grad_input(gradient, activation, 0, grad_input=gradient)
    first, stacked_input = linears[0], inputs.pop()
    _add_parameter_gradients(first, stacked_input, gradient)
    if features.requires_grad:
        feature_weight = first.weight[:, belief.shape[1] :]
        if features.grad is None:
            features.grad = gradient.mm(feature_weight)
        else:
            features.grad.addmm_(gradient, feature_weight)
    enter("forward")
    return next_belief, next_log_belief


def _add_parameter_gradients(linear: nn.Linear, activation: Tensor, gradient: Tensor) -> None:
    """Adds the gradients of ``linear`` for its input ``[B, in]`` and its output's gradient ``[B, out]``."""
    weight, bias = linear.weight, linear.bias
    if weight.requires_grad:
        if weight.grad is None:
            weight.grad = gradient.t().mm(activation)
        else:
            weight.grad.addmm_(gradient.t(), activation)
    if bias.requires_grad:
        if bias.grad is None:
            bias.grad = gradient.sum(dim=0)
        else:
            bias.grad.add_(gradient.sum(dim=0))


def _is_hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or "forward" in module.__dict__
    )


def _is_plain(parameter: nn.Parameter | None) -> bool:
    return (
        isinstance(parameter, nn.Parameter)
        and not parameter._backward_hooks
        and not parameter._post_accumulate_grad_hooks
    )
