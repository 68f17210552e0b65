"""Processes that were started by those that we start: adopted when their parent dies, found, and killed.

Linux only; on other systems nothing is adopted and no child is found.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Set
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes descendants whose parent dies children of this process; a subreaper nearer to them goes first."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Lets the kernel kill this process when its parent dies; what this process has started it does not kill."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children() -> frozenset[int]:
    """The ids of this process's children, those included that are dead and not reaped."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has just ended
            found.update(map(int, file.read_text(encoding="ascii").split()))
    return frozenset(found)


def kill_children(spared: Set[int] = frozenset()) -> None:
    """Kills and reaps all children but the ``spared``, then theirs if they are adopted, generation by generation."""
    while doomed := children() - spared:
        for process in doomed:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
