"""A training rule on a small network and one random batch: whether it does what a local rule has to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.analysis.words import first_few
from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.errors import ConfigError
from bench.measure.locality import Crossings, crossings
from bench.measure.rule_check import changed_by_rule, overwritten, without_gradient
from bench.train.step import TrainingStep, build_step

GIVES_GRADIENTS = "every parameter gets a gradient"
LEAVES_PARAMETERS = "parameters are left to the optimizer"
ADDS = "gradients are added to those that are there"
IS_LOCAL = "local: no gradient depends on a later module"
CHECKS = (GIVES_GRADIENTS, LEAVES_PARAMETERS, ADDS, IS_LOCAL)
_SEED = 0


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: which of ``CHECKS``.
        holds: None where it could not be told.
        reason: why it does not hold, or could not be told.
    """

    check: str
    holds: bool | None
    reason: str = ""


def try_rule(cell: Cell, shape: tuple[int, int, int], classes: int) -> Callable[[], list[Finding]]:
    """Build the step of ``cell``, and return a function that runs its rule and gives a finding for each of ``CHECKS``.

    Args:
        cell: on one rank, with two modules or more.
        shape: ``(channels, height, width)`` of the images.
        classes: C.

    Raises:
        ConfigError: the network or the method cannot be built. The function raises it where the rule returns no loss or
            calls ``sys.exit``, and whatever the rule raises.
    """
    torch.manual_seed(_SEED)
    images = torch.randn(cell.batch_size, *shape).to(cell.device)
    labels = torch.randint(classes, (cell.batch_size,)).to(cell.device)

    def make_step() -> TrainingStep:
        return build_step(cell, shape, classes, samples=len(images))

    step = make_step()

    def run() -> list[Finding]:
        try:
            return list(_findings(cell, step, make_step, images, labels))
        except SystemExit as error:  # it would end this process without a word
            raise ConfigError(f"it calls sys.exit({error.code!r}); legal: a rule that returns its loss") from error

    return run


def _findings(
    cell: Cell, step: TrainingStep, make_step: Callable[[], TrainingStep], images: Tensor, labels: Tensor
) -> Iterator[Finding]:
    step.add_gradients(images, labels)
    not_finite = "the gradients are not finite" if _is_not_finite(step) else None
    seen = crossings(make_step, images, labels)
    unfit = not_finite or (None if seen.is_repeatable else "two runs from one seed differ")
    if load_method(cell.method).updates_within_step:
        for check in (GIVES_GRADIENTS, LEAVES_PARAMETERS, ADDS):
            yield Finding(check, None, "the method declares that it calls optimizers itself")
    else:
        yield _finding(GIVES_GRADIENTS, without_gradient(step) or not_finite)
        yield _finding(LEAVES_PARAMETERS, changed_by_rule(step, images, labels))
        yield Finding(ADDS, None, unfit) if unfit else _finding(ADDS, overwritten(step, cell, images, labels))
    yield Finding(IS_LOCAL, None, unfit) if unfit else _locality(seen)


def _is_not_finite(step: TrainingStep) -> bool:
    parameters = (step.plain_network or step.network).parameters()
    return any(p.grad is not None and not p.grad.isfinite().all() for p in parameters)


def _finding(check: str, fault: str | None) -> Finding:
    return Finding(check, fault is None, fault or "")


def _locality(seen: Crossings) -> Finding:
    if seen.found:
        pairs = first_few([f"{module} with {later}" for module, later in seen.found])
        reason = f"gradients of a module change with parameters of a later one: of {pairs}"
        return Finding(IS_LOCAL, False, reason)
    if seen.not_changed:
        numbers = ", ".join(map(str, seen.not_changed))
        return Finding(IS_LOCAL, None, f"these modules share all their parameters, so none was changed: {numbers}")
    return Finding(IS_LOCAL, True)
