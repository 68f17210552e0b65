"""Processes that this one has started: adopted when their parent ends, found, and killed.

Only Linux lets a process adopt orphans; elsewhere a process that has lost its parent is not found.
"""

import ctypes
import signal
import sys
from collections.abc import Set

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the parent of descendants whose own parent ends, unless a nearer ancestor adopts them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Lets the kernel kill this process when its parent ends. The processes that it has started live on."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def children() -> frozenset[int]:
    """The ids of this process's children, including those that have ended and were not waited for."""
    return frozenset(child.pid for child in psutil.Process().children())


def kill_children(spared: Set[int] = frozenset()) -> None:
    """Kills and waits for all children except ``spared``, then for those that were adopted from them, and so on."""
    while to_kill := [child for child in psutil.Process().children() if child.pid not in spared]:
        for child in to_kill:
            child.kill()
        for child in to_kill:
            child.wait()


def _prctl(option: int, value: int) -> None:
    """Calls Linux's prctl, which neither Python nor psutil wraps for these options."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
