"""Whether a rule of somebody's own trains the whole network."""

from bench.config.cell import Cell
from bench.config.methods import load_method
from bench.config.methods.bp import FIXED_WORK
from bench.train.step import TrainingStep

_OWN = "sid-bench"
_MOST_NAMED = 3


def rule_fault(cell: Cell, step: TrainingStep) -> str | None:
    """Which parameters have no gradient after a step of the rule; None if each has one.

    A rule may leave heads untrained, as ``bp-plain`` does, but usually a gradient was forgotten: bytes and times are
    then those of less work. The rules of this package are not looked at, since tests say what they train, and neither
    are rules that free gradients themselves.

    Args:
        cell: its method is read.
        step: has just run.
    """
    method = load_method(cell.method)
    if method.source == _OWN or method.name == FIXED_WORK or method.updates_within_step:
        return None
    beside = [] if step.auxiliary is None else [(f"auxiliary.{n}", p) for n, p in step.auxiliary.named_parameters()]
    trained = [
        (name, parameter)
        for name, parameter in [*(step.plain_network or step.network).named_parameters(), *beside]
        if parameter.requires_grad
    ]
    without = [name for name, parameter in trained if parameter.grad is None]
    if not without:
        return None
    left_out = len(without) - _MOST_NAMED
    names = ", ".join(without[:_MOST_NAMED]) + (f" and {left_out} more" if left_out > 0 else "")
    return f"{len(without)} of {len(trained)} parameters have no gradient after a step: {names}"
