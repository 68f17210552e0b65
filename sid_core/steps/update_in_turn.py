"""An optimizer a module, called as soon as the module's gradients are there: no two modules' gradients at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from sid_core.phases import enter


def check_optimizers(local_modules: Sequence[nn.Module], optimizers: Sequence[Optimizer]) -> None:
    """Checks that each module can be updated before the next is run.

    Raises:
        ValueError: there is not one optimizer a module, an optimizer has a parameter that is not its module's, or two
            modules share one, whose gradient is complete only when both have run.
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
    """Yields one module after the other; asked for the next, it updates the last and frees its gradients."""
    for module, optimizer in zip(local_modules, optimizers, strict=True):
        yield module
        enter("optimizer")
        optimizer.step()
        torch.clear_autocast_cache()  # a context that outlives the step would go on with narrow copies of old weights
        module.zero_grad()  # also of parameters that the optimizer leaves as they are
        enter("forward")
