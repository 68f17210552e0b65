"""Whether the gradients of a module depend on the modules after it: in a local rule, none does."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.train.step import TrainingStep

_SEEDS = {"build": 0, "run": 1, "change": 2}


@dataclass(frozen=True)
class Crossings:
    """What a change of each later module showed.

    Attributes:
        is_repeatable: two runs from one seed, with nothing changed, do the same. Otherwise nothing can be told.
        found: ``(module, later)``, counted from 1: what the rule does to ``module`` changes with ``later``.
    """

    is_repeatable: bool
    found: tuple[tuple[int, int], ...]


def crossings(make_step: Callable[[], TrainingStep], images: Tensor, labels: Tensor) -> Crossings:
    """Run a rule on one batch once per module, with that module's parameters changed, and compare what it does.

    What the rule does to a module is its gradients, and its parameters where the rule updates them itself. A trunk is
    left out: all modules train it.

    Args:
        make_step: builds the step anew; drawn from one seed, its parameters have to be the same each time.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``, int64.
    """
    first = _effects(make_step, images, labels, None)
    if not _are_equal(first, _effects(make_step, images, labels, None)):
        return Crossings(is_repeatable=False, found=())
    found = [
        (module + 1, later + 1)
        for later in range(1, len(first))
        for module, effect in enumerate(_effects(make_step, images, labels, later)[:later])
        if not _are_equal([first[module]], [effect])
    ]
    return Crossings(is_repeatable=True, found=tuple(sorted(found)))


def _effects(
    make_step: Callable[[], TrainingStep], images: Tensor, labels: Tensor, changed: int | None
) -> list[list[Tensor | None]]:
    """For each module, its parameters and their gradients after the rule, with module ``changed`` changed before."""
    torch.manual_seed(_SEEDS["build"])
    step = make_step()
    modules: list[nn.Module] = list((step.plain_network or step.network).local_modules)
    if changed is not None:
        earlier = {id(parameter) for module in modules[:changed] for parameter in module.parameters()}
        torch.manual_seed(_SEEDS["change"])
        with torch.no_grad():
            for parameter in modules[changed].parameters():
                if id(parameter) not in earlier:  # as a module shares them that uses the weights of another one
                    parameter.add_(torch.randn_like(parameter))
    torch.manual_seed(_SEEDS["run"])
    step.add_gradients(images, labels)
    return [[tensor for p in module.parameters() for tensor in (p.detach(), p.grad)] for module in modules]


def _are_equal(first: list[list[Tensor | None]], second: list[list[Tensor | None]]) -> bool:
    return all(
        (one is None) == (other is None)
        and (one is None or other is None or torch.equal(one.nan_to_num(), other.nan_to_num()))
        for effects in zip(first, second, strict=True)
        for one, other in zip(*effects, strict=True)
    )
