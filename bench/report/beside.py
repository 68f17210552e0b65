"""Does a piece of work in a process of its own, beside what this process does."""

import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TypeVar

from bench.machine.descendants import die_with_parent
from bench.machine.system import this_system

Result = TypeVar("Result")


def spare_processes() -> int:
    """Return how many processes can work beside each other on what this one has in memory; 0 if they cannot.

    That is one for each CPU; 0 with one CPU only, and outside of Linux, where a process does not inherit what is in
    memory.
    """
    processes = this_system().core_count or 1
    return processes if processes > 1 and sys.platform == "linux" else 0


@contextmanager
def begun_beside(work: Callable[[], Result]) -> Iterator[Callable[[], Result]]:
    """Begin with ``work`` in a process that inherits what is in memory, and give a function that returns its result.

    Where no process can work beside this one or be started, and where it fails or is killed, the function does the
    work itself.
    """
    if spare_processes() == 0:
        yield work
        return
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(work, sender), daemon=True)
    try:
        process.start()
    except OSError:
        yield work
        return
    finally:
        sender.close()

    def result() -> Result:
        try:
            found: Result = receiver.recv()
        except EOFError:
            return work()
        return found

    try:
        yield result
    finally:
        process.kill()
        process.join()
        receiver.close()


def begin_process() -> None:
    """Let this process, a short one, end without a word when its parent ends, and on Ctrl-C; search for no garbage."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()


def _send(work: Callable[[], object], sender: Connection) -> None:
    begin_process()
    with suppress(Exception):  # the parent does the work again, and raises the error
        sender.send(work())
