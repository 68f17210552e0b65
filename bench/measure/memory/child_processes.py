"""Refuses to measure a step that computes in other processes, where no instrument of this one sees it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from bench.errors import BenchError

# A process that has loaded PyTorch, or is a fork of one that has, is several times as large.
_LEAST_BYTES = 64 * 2**20


@contextmanager
def no_child_processes() -> Iterator[None]:
    """Check, when the context ends without an error, that no process was started in it that is large enough to compute.

    Raises:
        BenchError: one was started, whether it still runs or has ended.
    """
    before, largest_before, touched_before = _running(), *_ended_bytes()
    yield
    largest, touched = _ended_bytes()
    if _running() - before or max(largest_before, _LEAST_BYTES) < largest or touched - touched_before > _LEAST_BYTES:
        raise BenchError(
            "memory cannot be measured: the training step starts processes, whose memory the instruments do not see; "
            "legal: steps that compute in this process"
        )


def _running() -> set[int]:
    """Return the ids of large children."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if child.memory_info().rss > _LEAST_BYTES:
                found.add(child.pid)
    return found


def _ended_bytes() -> tuple[int, int]:
    """Return the largest resident size of the children that ended and were waited for, and all that they touched."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    largest = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
    return largest, usage.ru_minflt * resource.getpagesize()
