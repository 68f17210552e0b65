"""A training rule on a small network and one random batch: whether it does what a local rule has to do."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.measure.locality import crossings
from bench.measure.rule_check import changed_by_rule, overwritten, without_gradient
from bench.train.step import TrainingStep, build_step

GIVES_GRADIENTS = "every parameter gets a gradient"
LEAVES_PARAMETERS = "parameters are left to the optimizer"
ADDS = "gradients are added to those that are there"
IS_LOCAL = "local: no gradient depends on a later module"
CHECKS = (GIVES_GRADIENTS, LEAVES_PARAMETERS, ADDS, IS_LOCAL)
_SEED = 0
_MOST_NAMED = 3


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


def try_rule(cell: Cell, shape: tuple[int, int, int], classes: int) -> list[Finding]:
    """Run the rule of ``cell`` on its network and a batch of random images, and return a finding per check.

    Args:
        cell: on one rank, with two modules or more.
        shape: ``(channels, height, width)`` of the images.
        classes: C.

    Raises:
        ConfigError: the network or the method cannot be built, or the rule returns no loss.
    """
    torch.manual_seed(_SEED)
    images = torch.randn(cell.batch_size, *shape, device=cell.device)
    labels = torch.randint(classes, (cell.batch_size,), device=cell.device)
    return list(_findings(cell, shape, classes, images, labels))


def _findings(
    cell: Cell, shape: tuple[int, int, int], classes: int, images: Tensor, labels: Tensor
) -> Iterator[Finding]:
    method = load_method(cell.method)

    def make_step() -> TrainingStep:
        return build_step(cell, shape, classes, samples=len(images))

    step = make_step()
    step.add_gradients(images, labels)
    seen = crossings(make_step, images, labels)
    if method.updates_within_step:
        for check in (GIVES_GRADIENTS, LEAVES_PARAMETERS, ADDS):
            yield Finding(check, None, "the method declares that it calls optimizers itself")
    else:
        yield _finding(GIVES_GRADIENTS, without_gradient(step))
        yield _finding(LEAVES_PARAMETERS, changed_by_rule(step, images, labels))
        adds = overwritten(step, cell, images, labels) if seen.is_repeatable else None
        yield _finding(ADDS, adds, seen.is_repeatable)
    yield _finding(IS_LOCAL, _crossings_text(seen.found), seen.is_repeatable)


def _finding(check: str, fault: str | None, is_told: bool = True) -> Finding:
    if not is_told:
        return Finding(check, None, "two runs from one seed differ")
    return Finding(check, fault is None, fault or "")


def _crossings_text(found: tuple[tuple[int, int], ...]) -> str | None:
    if not found:
        return None
    pairs = ", ".join(f"{module} with {later}" for module, later in found[:_MOST_NAMED])
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"gradients of a module change with parameters of a later one: of {pairs}{more}"
