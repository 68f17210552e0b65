"""What a forked child may allocate, and how it ended."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


def limit_memory(limit: int | None) -> None:
    """Caps private writable memory beyond what is loaded by now, so that a cell too large fails by itself."""
    if limit is not None and sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        loaded = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))
        resource.setrlimit(resource.RLIMIT_DATA, (loaded + limit, loaded + limit))


def kernel_kills() -> int:
    """How often the kernel has killed for memory in this cgroup; 0 where it does not say."""
    try:
        lines = _CGROUP_EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def describe_death(status: int, killed_by_kernel: bool, log: str = "") -> dict[str, Any]:
    """``status`` and ``message`` for a child that ended without an answer.

    Args:
        status: as ``os.waitpid`` gives it.
        killed_by_kernel: whether the kernel has killed for memory meanwhile.
        log: the end of what the child has printed.
    """
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        message = f"killed by signal {number} ({signal.Signals(number).name})"
        if killed_by_kernel and number == signal.SIGKILL:
            return {"status": "oom", "message": f"{message}: the kernel ran out of memory"}
    else:
        message = f"exited with code {os.WEXITSTATUS(status)} and without a result"
    return {"status": "crashed", "message": f"{message}; {log}" if log else message}
