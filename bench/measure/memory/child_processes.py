"""Refuses to measure a step that computes in other processes, where no instrument of this one sees it."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.errors import BenchError


@contextmanager
def no_child_processes() -> Iterator[None]:
    """Check, when the context ends without an error, that no process was started in it.

    Raises:
        BenchError: one was started, whether it still runs or has ended.
    """
    before, ended_before = _running(), _ended()
    yield
    if _running() - before or _ended() != ended_before:
        raise BenchError(
            "memory cannot be measured: the training step starts processes, whose memory the instruments do not see; "
            "legal: steps that compute in this process"
        )


def _running() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _ended() -> tuple[float, ...]:
    """Return what the kernel has added up over all children that ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime, usage.ru_stime, usage.ru_minflt, usage.ru_nvcsw
