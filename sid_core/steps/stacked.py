"""Same-shaped modules with their parameters stored in one tensor each, so that one product serves all of them."""

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn

from sid_core.network import LocalModule
from sid_core.steps.closed_form import is_hooked
from sid_core.steps.recompute import Recomputed

_SAME_IN_TRAINING = (LocalModule, nn.Sequential, nn.Linear, nn.ReLU)


class StackedParameters:
    """The parameters of L same-shaped modules as tensors ``[L, ...]``, of which the modules' own are views.

    Nothing is copied in a step: what an optimizer or ``load_state_dict`` writes into a module's parameters is in the
    stack. Gradients are stacked likewise, in buffers that stay between steps.

    Attributes:
        names: of the parameters in a module, as in ``named_parameters``.
        values: one ``[L, ...]`` a name.
        gradients: likewise.

    Raises:
        ValueError: the modules are not built alike, with parameters of the same names, shapes, dtypes and devices, each
            in one place; or they have buffers or hooks, or are compiled or recomputed, which one product for all cannot
            call.
    """

    def __init__(self, local_modules: Sequence[nn.Module]) -> None:
        check_alike(local_modules)
        self.names = [name for name, _ in local_modules[0].named_parameters()]
        by_name = list(zip(*(module.parameters() for module in local_modules), strict=True))
        self.values = [torch.stack([parameter.detach() for parameter in same]) for same in by_name]
        self.gradients = [torch.zeros_like(value) for value in self.values]
        self._modules = list(local_modules)
        # Asked for in every step, so kept flat: where each submodule and parameter hangs, and how many hang there.
        owners = [owner for module in local_modules for owner in module.modules()]
        self._dictionaries = [members for owner in owners for members in (owner._modules, owner._parameters)]
        self._counts = [len(members) for members in self._dictionaries]
        self._members = [(members, name, member) for members in self._dictionaries for name, member in members.items()]
        self._parameters = [parameter for same in by_name for parameter in same]
        views = [view for value in self.values for view in value.unbind()]
        self._gradient_views = [view for gradient in self.gradients for view in gradient.unbind()]
        for parameter, view in zip(self._parameters, views, strict=True):
            parameter.data = view
        self._addresses = [view.data_ptr() for view in views]

    def is_whole(self, local_modules: Iterable[nn.Module]) -> bool:
        """Whether the modules are those of the stack, nothing in them was exchanged, and parameters are its views."""
        return (
            list(local_modules) == self._modules
            and all(members.get(name) is member for members, name, member in self._members)
            and [len(members) for members in self._dictionaries] == self._counts
            and [parameter.data_ptr() for parameter in self._parameters] == self._addresses
        )

    def begin_gradients(self) -> bool:
        """Makes every ``.grad`` a view of ``gradients``; returns whether there is anything in them to add to."""
        before = [parameter.grad for parameter in self._parameters]
        is_fresh = all(gradient is None for gradient in before)
        for parameter, gradient, view in zip(self._parameters, before, self._gradient_views, strict=True):
            if gradient is view:
                continue
            if not is_fresh:
                view.copy_(gradient) if gradient is not None else view.zero_()
            if parameter.requires_grad:
                parameter.grad = view
        return not is_fresh


_stacks: "WeakKeyDictionary[nn.ModuleList, StackedParameters]" = WeakKeyDictionary()


def stacked_parameters(local_modules: nn.ModuleList) -> StackedParameters:
    """The stack of ``local_modules``, made at the first call and again where their parameters were exchanged.

    Raises:
        ValueError: the modules cannot be stacked; see :class:`StackedParameters`.
    """
    stack = _stacks.get(local_modules)
    if stack is None or not stack.is_whole(local_modules):
        stack = _stacks[local_modules] = StackedParameters(list(local_modules))
    return stack


def check_alike(local_modules: Iterable[nn.Module]) -> None:
    """Checks that one call with other parameters can stand for the call of any of the modules.

    Raises:
        ValueError: see :class:`StackedParameters`.
    """
    modules = list(local_modules)
    if any(isinstance(module, Recomputed) for module in modules):
        raise ValueError(
            "modules are recomputed, which modules in one product cannot be; legal: sid_core.recomputed without "
            "modules=True"
        )
    first = _signature(modules[0])
    for index, module in enumerate(modules):
        if _signature(module) != first:
            raise ValueError(
                f"module {index} differs from module 0 in the type, the settings or the training mode of a part, or in "
                "the name, shape, dtype or device of a parameter; legal: modules that differ in the values of their "
                "parameters only"
            )
        if next(module.buffers(), None) is not None or any(map(_is_hooked, module.modules())):
            raise ValueError(
                f"module {index} has a buffer, a hook or a forward of its own, or is compiled; legal: plain modules"
            )
    parameters = [parameter for module in modules for _, parameter in module.named_parameters(remove_duplicate=False)]
    if len(set(map(id, parameters))) < len(parameters):
        raise ValueError("modules share a parameter; legal: modules with parameters of their own, each in one place")


def _signature(module: nn.Module) -> list[tuple[object, ...]]:
    parts = [(name, type(part), part.extra_repr(), _trains(part)) for name, part in module.named_modules()]
    parameters = [
        (name, parameter.shape, parameter.dtype, parameter.device) for name, parameter in module.named_parameters()
    ]
    return [*parts, *parameters]


def _trains(part: nn.Module) -> bool | None:
    """Whether ``part`` is in training; None where it makes no difference."""
    return None if isinstance(part, _SAME_IN_TRAINING) else part.training


def _is_hooked(part: nn.Module) -> bool:
    return is_hooked(part) or any(
        parameter is not None and (parameter._backward_hooks or parameter._post_accumulate_grad_hooks)
        for parameter in part._parameters.values()
    )
