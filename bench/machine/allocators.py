"""The memory allocators that a cell may run with: where their libraries are, and which one a process has loaded.

An allocator is chosen for a process when it starts, by the variable ``LD_PRELOAD`` of Linux's dynamic linker. The
linker ignores a library that it cannot load, so what a process has is read from its own memory map.
"""

import ctypes.util
import functools
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from bench.errors import ConfigError
from bench.machine.system import printable

Allocator = Literal["system", "jemalloc", "tcmalloc", "mimalloc"]

SYSTEM: Allocator = "system"
ALLOCATORS: tuple[Allocator, ...] = get_args(Allocator)
GLIBC_TUNABLES = "GLIBC_TUNABLES"
_PRELOAD = "LD_PRELOAD"
_MAP = Path("/proc/self/maps")


class _Library(NamedTuple):
    """A library that replaces ``malloc``.

    Attributes:
        names: the names that it may have, after ``lib``.
        package: its package in Debian.
        variables: how the names of the environment variables that it reads begin.
    """

    names: tuple[str, ...]
    package: str
    variables: str


_LIBRARIES: dict[Allocator, _Library] = {
    "jemalloc": _Library(("jemalloc",), "libjemalloc2", "MALLOC_CONF"),
    "tcmalloc": _Library(("tcmalloc_minimal", "tcmalloc"), "libtcmalloc-minimal4", "TCMALLOC_"),
    "mimalloc": _Library(("mimalloc",), "libmimalloc2.0", "MIMALLOC_"),
}


def preloading(allocator: Allocator, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables with which a new process runs with ``allocator``; none for that of this process.

    Args:
        allocator: its name.
        environ: the variables of this process; what ``LD_PRELOAD`` names already is loaded after the allocator.

    Raises:
        ConfigError: its library is not installed, or the system is not Linux.
    """
    if allocator == SYSTEM:
        return {}
    library = find_library(allocator)
    if library is None:
        raise ConfigError(f"allocator = {allocator!r} is not installed; {_advice(allocator)}")
    return {_PRELOAD: ":".join(filter(None, (library, environ.get(_PRELOAD))))}


def require_allocator(allocator: Allocator) -> None:
    """Checks that this process runs with ``allocator``; ``system`` is whatever it was started with.

    Raises:
        ConfigError: the linker did not load its library, as one for another kind of processor.
    """
    loaded = loaded_allocator()
    if allocator not in (SYSTEM, loaded):
        raise ConfigError(
            f"allocator = {allocator!r} could not be loaded from {find_library(allocator)}: the process runs with "
            f"{loaded}; {_advice(allocator)}"
        )


def loaded_allocator() -> str:
    """The allocator that ``malloc`` calls in this process: its name, or ``system`` and that of the C library."""
    allocator = _allocator_of_malloc()
    return f"{SYSTEM} ({platform.libc_ver()[0] or 'libc'})" if allocator == SYSTEM else allocator


def malloc_variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of this process that its allocator reads."""
    allocator = _allocator_of_malloc()

    def is_read(name: str) -> bool:
        if allocator == SYSTEM:
            return is_variable_of_system(name)
        return name.startswith(_LIBRARIES[allocator].variables)

    return {name: printable(environ[name]) for name in sorted(filter(is_read, environ))}


def is_variable_of_system(name: str) -> bool:
    """Whether the C library's allocator reads the environment variable ``name``."""
    return name == GLIBC_TUNABLES or (name.startswith("MALLOC_") and name != _LIBRARIES["jemalloc"].variables)


@functools.cache
def find_library(allocator: Allocator) -> str | None:
    """The file of an allocator's library, or its name where the dynamic linker knows where it is; None without one.

    It is looked for where ``LD_LIBRARY_PATH`` and the linker's own table say, and beside the libraries of Python, where
    conda installs it.
    """
    if sys.platform != "linux":
        return None
    folders = [*os.environ.get("LD_LIBRARY_PATH", "").split(":"), f"{sys.prefix}/lib", f"{sys.base_prefix}/lib"]
    for name in _LIBRARIES[allocator].names:
        for folder in filter(None, folders):
            for file in sorted(Path(folder).absolute().glob(f"lib{name}.so*")):
                if not set(str(file)) & set(": "):  # which separate the entries of LD_PRELOAD
                    return str(file)
        if (known := ctypes.util.find_library(name)) is not None:
            return known
    return None


def _advice(allocator: Allocator) -> str:
    """The legal values of the axis here, and the package to install for ``allocator``."""
    legal = [name for name in ALLOCATORS if name == SYSTEM or find_library(name) is not None]
    if sys.platform != "linux":
        return f"legal on this system: {', '.join(legal)}"
    return f"legal here: {', '.join(legal)}; on Debian, apt-get install {_LIBRARIES[allocator].package}"


def _allocator_of_malloc() -> Allocator:
    library = _library_of_malloc()
    for allocator, (names, _, _) in _LIBRARIES.items():
        if any(library.startswith(f"lib{name}.") for name in names):
            return allocator
    return SYSTEM


def _library_of_malloc() -> str:
    """The file name of the library whose ``malloc`` this process calls; empty where the system does not say."""
    try:
        lines = _MAP.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return ""
    malloc: Any = ctypes.CDLL(None).malloc
    address = ctypes.cast(malloc, ctypes.c_void_p).value or 0
    for line in lines:
        start, end = (int(bound, 16) for bound in line.split(maxsplit=1)[0].split("-"))
        if start <= address < end:
            return line.rpartition("/")[2]
    return ""
