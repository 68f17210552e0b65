"""One optimizer per module, stepped as soon as the module has its gradients, which are then freed."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from sid_core.phases import enter


def check_optimizers(local_modules: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
    """Checks that each module can be updated before the next one runs.

    Raises:
        ValueError: there is not one optimizer per module, an optimizer has a parameter that is not of its module, or
            two modules share a parameter, whose gradient is complete only after both.
    """
    if len(optimizers) != len(local_modules):
        raise ValueError(
            f"optimizers has {len(optimizers)} entries; legal: one for each of the {len(local_modules)} modules"
        )
    seen: set[int] = set()
    for index, (module, optimizer) in enumerate(zip(local_modules, optimizers, strict=True)):
        own = {id(parameter) for parameter in module.parameters()}
        if own & seen:
            raise ValueError(f"module {index} shares a parameter with one before; legal: modules with their own")
        if any(id(parameter) not in own for group in optimizer.param_groups for parameter in group["params"]):
            raise ValueError(f"optimizer {index} has a parameter that is not of module {index}; legal: its module's")
        seen |= own


def update_in_turn(local_modules: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> Iterator[nn.Module]:
    """Yields one module after the other, and updates each and frees its gradients when the next is asked for."""
    for module, optimizer in zip(local_modules, optimizers, strict=True):
        yield module
        enter("optimizer")
        optimizer.step()
        torch.clear_autocast_cache()  # an autocast context around the step would go on with copies of the old weights
        module.zero_grad()  # also of parameters that the optimizer does not have
        enter("forward")
