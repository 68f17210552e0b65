"""Checks of memory: free memory, limits, swap."""

from bench.machine.doctor.check import Check, judge, show_bytes
from bench.machine.system import System

_LOW_SHARE = 0.1
_SWAP_SHARE = 0.01


def memory_checks(system: System) -> list[Check]:
    """Checks free memory, the limit of control groups, and swap in use."""
    sizes = system.memory()
    return [_free(sizes), _limit(system), _swap(sizes)]


def _free(sizes: dict[str, int]) -> Check:
    total, available = sizes.get("MemTotal"), sizes.get("MemAvailable")
    if not total or available is None:
        return judge("free memory", None, False, "")
    return judge(
        "free memory",
        f"{show_bytes(available)} of {show_bytes(total)}",
        available < _LOW_SHARE * total,
        "cells may run out of memory: end the processes that hold it",
    )


def _limit(system: System) -> Check:
    limit = system.cgroup_memory()
    if limit is None:
        return judge("memory limit", None if system.text("proc/self/cgroup") is None else "none", False, "")
    return judge(
        "memory limit",
        f"{show_bytes(limit.limit_bytes)}, {show_bytes(limit.available_bytes)} of it free",
        limit.available_bytes < _LOW_SHARE * limit.limit_bytes,
        "cells may run out of memory: raise the limit, or end other processes in the control group",
    )


def _swap(sizes: dict[str, int]) -> Check:
    total, free = sizes.get("SwapTotal"), sizes.get("SwapFree")
    if total is None or free is None:
        return judge("swap", None, False, "")
    return judge(
        "swap",
        f"{show_bytes(total - free)} of {show_bytes(total)} in use" if total else "none",
        total - free > _SWAP_SHARE * sizes.get("MemTotal", 0),
        "pages may be read from the disk while a step is timed: free memory, then swapoff -a && swapon -a",
    )
