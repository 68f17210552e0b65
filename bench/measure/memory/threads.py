"""Makes dispatch modes, which PyTorch keeps per thread, see the operators of threads that a training step starts."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
    _pop_mode,
    _push_mode,
)

# The modes that operators of followed threads run under now.
_lent: Sequence[TorchDispatchMode] = ()
_own = threading.local()
_followed: set[int] = set()
# Held while an operator of a followed thread runs under lent modes: PyTorch's fake tensors are made for one thread.
_one_at_a_time = threading.RLock()


class _Relay(TorchDispatchMode):
    """Runs each operator of its thread under the modes that are lent at that moment."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if not _lent:
            return func(*args, **(kwargs or {}))
        with _one_at_a_time:
            lent = _lent
            for mode in lent:
                _push_mode(mode)
            try:
                return func(*args, **(kwargs or {}))
            finally:
                for mode in reversed(lent):
                    _pop_mode(getattr(mode, "_mode_key", None))


@contextmanager
def follow_threads() -> Iterator[None]:
    """Follow each thread that Python's ``threading`` starts in the context, for as long as the thread lives.

    While :func:`lend_modes` is active, the operators of a followed thread run under the lent modes. At other times
    they run as usual, but each passes through one function in Python, so a process that has followed threads must not
    time them. Threads that were started before, or by other means, are not followed.
    """
    start = threading.Thread.start

    def start_followed(thread: threading.Thread) -> None:
        run = thread.run
        thread.run = lambda: _run_followed(run)  # type: ignore[method-assign]
        start(thread)

    with patch.object(threading.Thread, "start", start_followed):
        yield


def _run_followed(run: Callable[[], None]) -> None:
    if thread_key() is not None:  # two contexts follow it
        return run()
    _own.key = object()
    _followed.add(threading.get_ident())
    try:
        with _Relay():
            run()
    finally:
        _followed.discard(threading.get_ident())


@contextmanager
def lend_modes() -> Iterator[None]:
    """Lend the dispatch modes that are active in this thread to all followed threads, until the context ends."""
    global _lent
    before, _lent = _lent, _get_current_dispatch_mode_stack()
    try:
        yield
    finally:
        _lent = before


def thread_key() -> object | None:
    """Return an object of this thread's own if the thread is followed; None for any other thread.

    Threads of autograd are not followed: PyTorch gives them the modes of the thread that called ``backward``.
    """
    return getattr(_own, "key", None)


def has_unfollowed_threads() -> bool:
    """Return whether a thread other than this one runs Python code now and is not followed."""
    return not sys._current_frames().keys() <= _followed | {threading.get_ident()}
