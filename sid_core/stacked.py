"""Same-shaped modules with their parameters stored in one tensor each, so that one product serves all of them."""

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn


class StackedParameters:
    """The parameters of L same-shaped modules as tensors ``[L, ...]``, of which the modules' own are views.

    Nothing is copied in a step: what an optimizer or ``load_state_dict`` writes into a module's parameters is in the
    stack. Gradients are stacked likewise, in buffers that stay between steps.

    Attributes:
        names: of the parameters in a module, as in ``named_parameters``.
        values: one ``[L, ...]`` a name.
        gradients: likewise.

    Raises:
        ValueError: the modules are not of one type with parameters of the same names, shapes, dtypes and devices, or
            they have buffers or hooks or are compiled, which a product for all can't call.
    """

    def __init__(self, local_modules: Sequence[nn.Module]) -> None:
        first = _signature(local_modules[0])
        for index, module in enumerate(local_modules):
            if _signature(module) != first:
                raise ValueError(
                    f"module {index} differs from module 0 in type, or in the name, shape, dtype or device of a "
                    "parameter; legal: modules that differ in the values of their parameters only"
                )
            if next(module.buffers(), None) is not None or any(map(_is_hooked, module.modules())):
                raise ValueError(f"module {index} has a buffer or a hook, or is compiled; legal: plain modules")
        if len({id(parameter) for module in local_modules for parameter in module.parameters()}) < len(first[1]) * len(
            local_modules
        ):
            raise ValueError("modules share a parameter; legal: modules with parameters of their own")
        self.names = [name for name, _ in local_modules[0].named_parameters()]
        by_name = list(zip(*(module.parameters() for module in local_modules), strict=True))
        self.values = [torch.stack([parameter.detach() for parameter in same]) for same in by_name]
        self.gradients = [torch.zeros_like(value) for value in self.values]
        self._modules = list(local_modules)
        # Asked for in every step, so kept flat: each parameter's owner and name there, itself, its place and gradient.
        self._owners = [
            (owner._parameters, name)
            for index in range(len(self.names))
            for owner, name in (_owner(module, self.names[index]) for module in local_modules)
        ]
        self._parameters = [parameter for same in by_name for parameter in same]
        views = [view for value in self.values for view in value.unbind()]
        self._gradient_views = [view for gradient in self.gradients for view in gradient.unbind()]
        for parameter, view in zip(self._parameters, views, strict=True):
            parameter.data = view
        self._addresses = [view.data_ptr() for view in views]

    def is_whole(self, local_modules: Iterable[nn.Module]) -> bool:
        """Whether the modules are those of the stack and their parameters still its views."""
        return (
            list(local_modules) == self._modules
            and all(
                owner.get(name) is parameter
                for (owner, name), parameter in zip(self._owners, self._parameters, strict=True)
            )
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


def _signature(module: nn.Module) -> tuple[type, list[tuple[object, ...]]]:
    return type(module), [
        (name, parameter.shape, parameter.dtype, parameter.device) for name, parameter in module.named_parameters()
    ]


def _is_hooked(module: nn.Module) -> bool:
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or module._compiled_call_impl is not None
        or any(
            parameter is not None and (parameter._backward_hooks or parameter._post_accumulate_grad_hooks)
            for parameter in module._parameters.values()
        )
    )


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """The submodule that holds the parameter ``name`` of ``module``, and the name it has there."""
    path, _, last = name.rpartition(".")
    return module.get_submodule(path), last
