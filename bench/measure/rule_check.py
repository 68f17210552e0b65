"""Whether a rule of somebody's own trains the whole network, and does only what a rule may do."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from bench.analysis.words import first_few
from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.config.methods.bp import FIXED_WORK
from bench.train.step import TrainingStep

_OWN = "sid-bench"
_SEED = 0


def rule_fault(cell: Cell, step: TrainingStep, batch: Callable[[], tuple[Tensor, Tensor]]) -> str | None:
    """What is wrong with the gradients or the parameters after a rule has run; None if nothing is.

    A rule may leave heads untrained, as ``bp-plain`` does, but usually a gradient was forgotten: bytes and times are
    then those of less work. A rule adds gradients to ``.grad``: the optimizer changes parameters, and what a rule
    overwrites is lost in micro-batches. The rules of this package are not looked at, since tests say what they train,
    and neither are rules that update parameters themselves by declaration.

    Args:
        cell: its method is read.
        step: has just run, and is not needed after this: its gradients are overwritten.
        batch: makes images and labels that it takes.
    """
    method = load_method(cell.method)
    if method.source == _OWN or method.name == FIXED_WORK or method.updates_within_step:
        return None
    if fault := without_gradient(step):
        return fault
    try:
        images, labels = batch()
        return changed_by_rule(step, images, labels) or (
            overwritten(step, cell, images, labels) if cell.micro_batches else None
        )
    except Exception:  # a rule that cannot run once more, or finds no memory to, is not at fault
        return None


def without_gradient(step: TrainingStep) -> str | None:
    """What is wrong if parameters have no gradient after ``step`` has run."""
    trained = _trained(step)
    if without := [name for name, parameter in trained.items() if parameter.grad is None]:
        return f"{_share(without, trained)} have no gradient after a step: {first_few(without)}"
    return None


def changed_by_rule(step: TrainingStep, images: Tensor, labels: Tensor) -> str | None:
    """What is wrong if the rule of ``step`` changes parameters on a batch."""
    trained = _trained(step)
    before = {name: parameter.detach().clone() for name, parameter in trained.items()}
    step.add_gradients(images, labels)
    changed = [name for name, parameter in trained.items() if not is_equal(before[name], parameter.detach())]
    if not changed:
        return None
    return f"{_share(changed, trained)} are changed by the rule, not by the optimizer: {first_few(changed)}"


def overwritten(step: TrainingStep, cell: Cell, images: Tensor, labels: Tensor) -> str | None:
    """What is wrong if the rule of ``step``, of ``cell``, on a whole batch, does not add to gradients that are there.

    The gradients of ``step`` are overwritten.
    """
    whole = step.for_cell(cell.model_copy(update={"micro_batches": None}))
    trained = _trained(whole)
    gradients: list[dict[str, Tensor]] = []
    for value in (0.0, 1.0):
        for parameter in trained.values():
            parameter.grad = torch.full_like(parameter, value)
        with torch.random.fork_rng([images.device] if images.is_cuda else []):
            torch.manual_seed(_SEED)
            whole.add_gradients(images, labels)
        gradients.append({name: p.grad.clone() for name, p in trained.items() if p.grad is not None})
    # Half of what was there is left if two runs from one seed add gradients that differ.
    lost = [
        name for name in trained if name not in gradients[1] or (gradients[1][name] - gradients[0][name]).median() < 0.5
    ]
    if not lost:
        return None
    return (
        f"{_share(lost, trained)} lose the gradient that they have before the rule, which has to add to it; with "
        f"micro-batches, only the last one counts: {first_few(lost)}"
    )


def _trained(step: TrainingStep) -> dict[str, nn.Parameter]:
    """The parameters that a rule has to train, by name: of the network, and of what the rule has beside it."""
    beside = [] if step.auxiliary is None else [(f"auxiliary.{n}", p) for n, p in step.auxiliary.named_parameters()]
    named = [*(step.plain_network or step.network).named_parameters(), *beside]
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def is_equal(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors of one shape hold the same; a value that is not a number equals another such."""
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def _share(names: Sequence[str], trained: Mapping[str, nn.Parameter]) -> str:
    return f"{len(names)} of {len(trained)} parameters"
