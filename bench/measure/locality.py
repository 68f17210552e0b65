"""Whether the gradients of a module depend on the modules after it: in a local rule, none does."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.measure.rule_check import is_equal
from bench.train.step import TrainingStep
from sid_core import BeliefNetwork

_SEEDS = {"build": 0, "run": 1, "change": 2}

_Effect = list[Tensor | None]


@dataclass(frozen=True)
class Crossings:
    """What a change of each later module showed.

    Attributes:
        is_repeatable: runs from one seed, with the same modules changed, do the same. Otherwise nothing can be told.
        found: ``(module, later)``, counted from 1: what the rule does to ``module`` changes with ``later``.
        not_changed: the later modules that could not be changed, since they have no parameters of their own.
    """

    is_repeatable: bool
    found: tuple[tuple[int, int], ...] = ()
    not_changed: tuple[int, ...] = ()


def crossings(make_step: Callable[[], TrainingStep], images: Tensor, labels: Tensor) -> Crossings:
    """Run a rule on one batch once per module, with that module's parameters changed, and compare what it does.

    What the rule does to a module is its gradients, and its parameters where the rule updates them itself. Parameters
    that modules share are neither changed nor compared. A trunk, which all modules train, is left out.

    Args:
        make_step: builds the step anew; drawn from one seed, its parameters have to be the same each time.
        images: ``[B, channels, H, W]``.
        labels: ``[B]``, int64.
    """

    def run(changed: int | None) -> list[_Effect]:
        return _effects(make_step, images, labels, changed)

    first = run(None)
    if not _are_equal(first, run(None)):
        return Crossings(is_repeatable=False)
    found, not_changed = [], []
    for later in range(1, len(first)):
        if not first[later]:
            not_changed.append(later + 1)
            continue
        effects = run(later)
        crossed = [module for module in range(later) if not _are_equal([first[module]], [effects[module]])]
        # A rule that counts its calls, for example, differs from one run to the next whatever is changed.
        if crossed and not (_are_equal(effects, run(later)) and _are_equal(first, run(None))):
            return Crossings(is_repeatable=False)
        found += [(module + 1, later + 1) for module in crossed]
    return Crossings(is_repeatable=True, found=tuple(sorted(found)), not_changed=tuple(not_changed))


def _effects(
    make_step: Callable[[], TrainingStep], images: Tensor, labels: Tensor, changed: int | None
) -> list[_Effect]:
    """For each module, its own parameters and their gradients after the rule, which ran with ``changed`` changed."""
    torch.manual_seed(_SEEDS["build"])
    step = make_step()
    modules = _own_parameters(step.plain_network or step.network)
    if changed is not None:
        torch.manual_seed(_SEEDS["change"])
        with torch.no_grad():
            for parameter in modules[changed]:
                parameter.add_(torch.randn_like(parameter))
    torch.manual_seed(_SEEDS["run"])
    step.add_gradients(images, labels)
    return [[tensor for p in module for tensor in (p.detach(), p.grad)] for module in modules]


def _own_parameters(network: BeliefNetwork) -> list[list[nn.Parameter]]:
    """The parameters of each module that neither the trunk nor another module has."""
    parts = [list(part.parameters()) for part in (network.trunk, *network.local_modules)]
    uses = Counter(id(parameter) for part in parts for parameter in part)
    return [[parameter for parameter in part if uses[id(parameter)] == 1] for part in parts[1:]]


def _are_equal(first: list[_Effect], second: list[_Effect]) -> bool:
    return all(
        (one is None) == (other is None) and (one is None or other is None or is_equal(one, other))
        for effects in zip(first, second, strict=True)
        for one, other in zip(*effects, strict=True)
    )
