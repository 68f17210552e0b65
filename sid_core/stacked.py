"""Same-shaped modules with their parameters stored in one tensor each, so that one product serves all of them."""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn


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
            they have buffers or hooks, which a product for all can't call.
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
                raise ValueError(f"module {index} has a buffer or a hook; legal: modules without")
        if len({id(parameter) for module in local_modules for parameter in module.parameters()}) < len(first[1]) * len(
            local_modules
        ):
            raise ValueError("modules share a parameter; legal: modules with parameters of their own")
        self.names = [name for name, _ in local_modules[0].named_parameters()]
        by_name = list(zip(*(module.parameters() for module in local_modules), strict=True))
        self._parameters: list[tuple[nn.Parameter, ...]] = by_name
        self.values = [torch.stack([parameter.detach() for parameter in same]) for same in by_name]
        self.gradients = [torch.zeros_like(value) for value in self.values]
        self._gradient_views = [gradient.unbind() for gradient in self.gradients]
        for same, value in zip(by_name, self.values, strict=True):
            for parameter, view in zip(same, value.unbind(), strict=True):
                parameter.data = view

    def is_whole(self, local_modules: Sequence[nn.Module]) -> bool:
        """Whether the modules are those of the stack and their parameters still its views."""
        now = list(zip(*(module.parameters() for module in local_modules), strict=False))
        return len(now) == len(self._parameters) and all(
            len(same) == len(stacked)
            and all(
                parameter is known and parameter.data_ptr() == value.data_ptr() + index * _bytes_of_one(value)
                for index, (parameter, known) in enumerate(zip(same, stacked, strict=True))
            )
            for same, stacked, value in zip(now, self._parameters, self.values, strict=True)
        )

    def begin_gradients(self) -> bool:
        """Makes every ``.grad`` a view of ``gradients``; returns whether there is anything in them to add to."""
        pairs = [
            (parameter, view)
            for same, views in zip(self._parameters, self._gradient_views, strict=True)
            for parameter, view in zip(same, views, strict=True)
        ]
        is_fresh = all(parameter.grad is None for parameter, _ in pairs)
        for parameter, view in pairs:
            if parameter.grad is view:
                continue
            if not is_fresh:
                view.copy_(parameter.grad) if parameter.grad is not None else view.zero_()
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
    if stack is None or not stack.is_whole(list(local_modules)):
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
        or any(
            parameter is not None and (parameter._backward_hooks or parameter._post_accumulate_grad_hooks)
            for parameter in module._parameters.values()
        )
    )


def _bytes_of_one(stacked: Tensor) -> int:
    return stacked[0].numel() * stacked.element_size()
