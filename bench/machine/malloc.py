"""How the C library's allocator keeps memory, which decides how often a training step takes page faults.

By default glibc gives large blocks back to the kernel as soon as they are free and fetches them again in the next step,
in some processes and not in others: its thresholds follow the sizes that were freed before. A step that fetches its
memory again takes thousands of page faults.
"""

import os
import platform
from collections.abc import Mapping

from bench.machine.allocators import GLIBC_TUNABLES, SYSTEM, Allocator, is_variable_of_system, preloading

# Blocks of any size come from the heap, and the heap is never cut: a step takes the memory that the one before it left.
_KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62), "MALLOC_TOP_PAD_": str(16 * 2**20)}


def kept_memory(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Variables with which a new process keeps the memory that it has freed; none where the user has set any.

    They mean nothing to other allocators, and are left out where the C library is not glibc.
    """
    tunables = environ.get(GLIBC_TUNABLES, "")
    is_set = (
        any(name != GLIBC_TUNABLES for name in filter(is_variable_of_system, environ)) or "glibc.malloc" in tunables
    )
    return {} if is_set or platform.libc_ver()[0] != "glibc" else dict(_KEPT)


def allocator_environment(allocator: Allocator) -> dict[str, str]:
    """Variables for a new process whose cells run with ``allocator``.

    Raises:
        ConfigError: it is not installed, see :func:`bench.machine.allocators.preloading`.
    """
    return kept_memory() if allocator == SYSTEM else preloading(allocator)
