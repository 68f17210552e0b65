"""The GPUs as NVML knows them: found by UUID, so whatever CUDA_VISIBLE_DEVICES holds and in whatever order.

Everything is None where NVML is missing, does not fit the driver, or does not answer.
"""

import os
from functools import cache
from typing import Any

_UUID_KINDS = ("GPU-", "MIG-")


@cache
def nvml() -> Any:
    """NVML, initialised once and open until the process ends; None where it cannot be initialised."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def ask(question: str, *arguments: Any) -> Any:
    """Calls a function of NVML; None where it fails, or where the driver or pynvml is too old for it."""
    library = nvml()
    if library is None:
        return None
    try:
        return getattr(library, question)(*arguments)
    except (library.NVMLError, AttributeError):
        return None


def handle_of(uuid: str) -> Any:
    """NVML's handle of a GPU, or of a slice of one (MIG).

    Args:
        uuid: as torch or CUDA's driver gives it. Of a slice it is the slice's own, or the GPU's where CUDA is
            too old to tell slices apart. NVML's prefix, which says which of them it is, may be there or not.
    """
    for kind in _UUID_KINDS:
        if uuid.startswith(kind):
            return ask("nvmlDeviceGetHandleByUUID", uuid)
    for kind in _UUID_KINDS:
        handle = ask("nvmlDeviceGetHandleByUUID", kind + uuid)
        if handle is not None:
            return handle
    return None


def whole_gpu(handle: Any) -> Any:
    """The handle of the GPU around a slice, which answers for clocks, power and ECC; of a whole GPU its own."""
    if not ask("nvmlDeviceIsMigDeviceHandle", handle):
        return handle
    return ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle) or handle


def driver_version() -> str | None:
    """The driver's version."""
    version = ask("nvmlSystemGetDriverVersion")
    return None if version is None else str(version)


def process_bytes(uuid: str, at_least: int) -> int | None:
    """The bytes that this process holds on a GPU: what its allocator has reserved, CUDA's context, and libraries.

    In a container NVML gives the process ids of the host. Then the only process on the GPU is this one, since this one
    is on it. Where there are others, or where what NVML gives is too little to be ours, the answer is None.

    Args:
        uuid: of the GPU or the slice, see :func:`handle_of`.
        at_least: the bytes that this process is known to hold there.
    """
    handle = handle_of(uuid)
    found = None if handle is None else ask("nvmlDeviceGetComputeRunningProcesses", handle)
    if not found:
        return None
    ids = {process.pid for process in found}
    own = os.getpid() if os.getpid() in ids else ids.pop() if len(ids) == 1 else None
    # A process is listed once for each slice of the GPU that it uses. The bytes are None where NVML cannot tell them.
    parts = [process.usedGpuMemory for process in found if process.pid == own]
    if not parts or None in parts:
        return None
    held = sum(map(int, parts))
    return held if held >= max(1, at_least) else None
