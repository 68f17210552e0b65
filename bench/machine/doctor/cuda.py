"""Which GPUs CUDA sees, asked of its driver: in its order, after CUDA_VISIBLE_DEVICES, without torch."""

import ctypes
import uuid
from functools import cache

_LIBRARY = "libcuda.so.1"


@cache
def cuda_uuids() -> list[str]:
    """The UUID of each CUDA device, by its number; empty where there is no driver or no device.

    The driver is started but gets no context, so nothing is allocated on a device.
    """
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    # The second version tells the slices of a GPU apart, the first is for drivers before CUDA 11.4.
    get_uuid = getattr(driver, "cuDeviceGetUuid_v2", None) or driver.cuDeviceGetUuid
    found = []
    for index in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        if driver.cuDeviceGet(ctypes.byref(device), index) or get_uuid(raw, device):
            return []
        found.append(str(uuid.UUID(bytes=bytes(raw))))
    return found
