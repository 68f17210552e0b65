"""Reports the phases of a training step: forward, backward and optimizer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sid_core.phases import Listener, Phase, enter, listen

# The letters that records use.
LETTERS: dict[Phase, str] = {"forward": "f", "backward": "b", "optimizer": "s", "wait": "w"}


@contextmanager
def follow_phases(listener: Listener, every_thread: bool = False) -> Iterator[None]:
    """Call ``listener`` with each phase (and its module) that begins in the context.

    Backward passes of autograd are observed by wrapping ``torch.autograd.backward``, which ``Tensor.backward`` calls,
    too. Hand-written backward passes and optimizer steps report themselves through :mod:`sid_core.phases`.

    Args:
        listener: called with each phase.
        every_thread: whether it is also called from threads that the step has started. Otherwise their work belongs to
            the phase in which this thread waits for them. Threads of autograd, in which backward passes run on CUDA,
            are always followed.
    """
    this_thread = threading.get_ident()

    def listen_here(phase: Phase, module: int | None) -> None:
        if threading.get_ident() == this_thread or not _is_python_thread():
            listener(phase, module)

    run_backward = torch.autograd.backward

    def backward(*args: Any, **kwargs: Any) -> None:
        enter("backward")
        try:
            run_backward(*args, **kwargs)
        finally:
            enter("forward")

    stop = listen(listener if every_thread else listen_here)
    torch.autograd.backward = backward
    try:
        yield
    finally:
        torch.autograd.backward = run_backward
        stop()


def _is_python_thread() -> bool:
    """Return whether Python's threading module started this thread."""
    here = threading.get_ident()
    return any(
        thread.ident == here for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)
    )
