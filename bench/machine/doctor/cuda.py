"""The GPUs that CUDA sees, from its driver and without torch, in the order that CUDA_VISIBLE_DEVICES leaves."""

import ctypes
import uuid
from functools import cache

_LIBRARY = "libcuda.so.1"


@cache
def cuda_uuids() -> list[str]:
    """The UUID of each CUDA device, in order; empty where there is no driver or no device.

    The driver is initialised without a context, so nothing is allocated on a device.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    # Version 2 gives each slice of a GPU an id of its own; drivers before CUDA 11.4 have the first version only.
    get_uuid = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    found = []
    for index in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        if driver.cuDeviceGet(ctypes.byref(device), index) or get_uuid(raw, device):
            return []
        found.append(str(uuid.UUID(bytes=bytes(raw))))
    return found
