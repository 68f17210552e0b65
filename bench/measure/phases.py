"""Follows the phases of a training step: forward, backward, optimizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sid_core.phases import Listener, Phase, enter, listen

# As records name them.
LETTERS: dict[Phase, str] = {"forward": "f", "backward": "b", "optimizer": "s", "wait": "w"}


@contextmanager
def follow_phases(listener: Listener) -> Iterator[None]:
    """Calls ``listener`` with each phase (and module) that begins while the context is open.

    A backward pass through autograd is seen because ``torch.autograd.backward``, which ``Tensor.backward`` calls too,
    is wrapped meanwhile; one that is written out, and the optimizer's step, are told by who runs them
    (:mod:`sid_core.phases`).
    """
    run_backward = torch.autograd.backward

    def backward(*args: Any, **kwargs: Any) -> None:
        enter("backward")
        try:
            run_backward(*args, **kwargs)
        finally:
            enter("forward")

    stop = listen(listener)
    torch.autograd.backward = backward
    try:
        yield
    finally:
        torch.autograd.backward = run_backward
        stop()
