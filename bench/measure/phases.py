"""Reports the phases of a training step: forward, backward and optimizer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sid_core.phases import Listener, Phase, enter, listen

# The letters that records use.
LETTERS: dict[Phase, str] = {"forward": "f", "backward": "b", "optimizer": "s", "wait": "w"}


@contextmanager
def follow_phases(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with each phase (and its module) that begins in the context.

    Backward passes of autograd are observed by wrapping ``torch.autograd.backward``, which ``Tensor.backward`` calls,
    too. Hand-written backward passes and optimizer steps report themselves through :mod:`sid_core.phases`.
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
