"""The memory limit of a forked process, and how a process ended that has not answered."""

import os
import resource
import signal
import sys

import psutil

from bench.execute.messages import Answer


def limit_memory(limit_bytes: int | None) -> None:
    """Limits the private writable memory that this process may allocate from now on; None sets no limit.

    An allocation beyond it fails with an error, long before the kernel would have to kill a process. Linux only.
    """
    if limit_bytes is not None and sys.platform == "linux":
        loaded = psutil.Process().memory_info().data  # a little more than the kernel compares: the stack is in it
        resource.setrlimit(resource.RLIMIT_DATA, (loaded + limit_bytes, loaded + limit_bytes))


def describe_death(wait_status: int, killed_by_kernel: bool, log: str = "") -> Answer:
    """The answer for a process that ended without one.

    Args:
        wait_status: as ``os.waitpid`` returns it.
        killed_by_kernel: whether the kernel has killed a process for want of memory since it was started.
        log: the end of its output.
    """
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        message = f"killed by signal {number} ({signal.Signals(number).name})"
        if killed_by_kernel and number == signal.SIGKILL:
            return Answer(status="oom", message=f"{message}: the kernel ran out of memory")
    else:
        message = f"exited with code {os.WEXITSTATUS(wait_status)} and without a result"
    return Answer(status="crashed", message=f"{message}; {log}" if log else message)
