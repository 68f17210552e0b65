"""Tells a listener which part of a training step begins; without one, telling costs a tenth of a microsecond.

Whoever measures a step can see where autograd runs backward, but not where a backward pass that is written out begins
and ends, nor for which module. Such a pass tells it here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Phase = Literal["forward", "backward", "optimizer", "wait"]
Listener = Callable[[Phase, int | None], None]

_listeners: list[Listener] = []


def enter(phase: Phase, module: int | None = None) -> None:
    """Says that ``phase`` begins, and with it that the phase before ends.

    Args:
        phase: ``wait`` is time that another rank decides.
        module: which module of the network it is the phase of, from 1; None where that is not known, or for the trunk.
    """
    for listener in _listeners:
        listener(phase, module)


def enter_backward_at(output: "Tensor", module: int) -> None:
    """Has the backward phase of ``module`` begin when autograd has the gradient of ``output``, if anyone listens."""
    if _listeners and output.requires_grad:
        output.register_hook(lambda _gradient: enter("backward", module))


def listen(listener: Listener) -> Callable[[], None]:
    """Has ``listener`` called at each change of phase; returns what ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)
