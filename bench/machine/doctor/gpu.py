"""Checks of the GPUs that CUDA sees, through NVML."""

import os
from typing import Any

from bench.machine.doctor.check import Check, judge, show_bytes
from bench.machine.doctor.cuda import cuda_uuids
from bench.machine.nvml import ask, handle_of, nvml, whole_gpu

# Why a GPU runs below its clock, by NVML's bits; without those for idling and for a clock that was set on purpose.
_SLOWED_BY = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


def gpu_checks() -> list[Check]:
    """Runs every check of every GPU that CUDA sees; one check that says so where there is none."""
    uuids = cuda_uuids()
    if not uuids:
        return [Check("GPU", "no GPU was found", "ok", None)]
    return [check for index, uuid in enumerate(uuids) for check in device_checks(uuid, f"cuda:{index}")]


def device_checks(uuid: str, name: str) -> list[Check]:
    """Runs the checks of one GPU; one check that says so where NVML does not know it.

    Args:
        uuid: see :func:`bench.machine.nvml.handle_of`.
        name: the prefix of the checks' names.
    """
    handle = handle_of(uuid)
    if handle is None:
        return [Check(name, "NVML does not answer for this GPU", "unknown", None)]
    gpu = whole_gpu(handle)
    return [_processes(handle, name), *(check(gpu, name) for check in (_slowed, _persistence, _clocks, _ecc, _mig))]


def _is_on(question: str, handle: Any) -> bool | None:
    """Whether a mode is on; of a pair (now, after the next restart), the first."""
    answer = ask(question, handle)
    if answer is None:
        return None
    return bool(answer[0] if isinstance(answer, list) else answer)


def _processes(handle: Any, name: str) -> Check:
    lists = [ask(f"nvmlDeviceGet{kind}RunningProcesses", handle) for kind in ("Compute", "Graphics")]
    others = {process.pid: process.usedGpuMemory for found in lists for process in found or ()}
    others.pop(os.getpid(), None)
    texts = [f"pid {pid}" + (f" ({show_bytes(used)})" if used else "") for pid, used in sorted(others.items())]
    return judge(
        f"{name} other processes",
        None if lists == [None, None] else ", ".join(texts) or "none",
        bool(others),
        "they compete with the measurement for the GPU: end them, or use another GPU",
    )


def _slowed(handle: Any, name: str) -> Check:
    bits = ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:
        bits = ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)  # its name before driver 535
    reasons = [reason for bit, reason in _SLOWED_BY.items() if bits and bits & bit]
    return judge(
        f"{name} throttling",
        None if bits is None else ", ".join(reasons) or "none",
        bool(reasons),
        "the GPU runs below its clock: cool it, give it power, or lock its clocks lower: nvidia-smi -lgc",
    )


def _persistence(handle: Any, name: str) -> Check:
    is_on = _is_on("nvmlDeviceGetPersistenceMode", handle)
    found = None if is_on is None else "on" if is_on else "off"
    return judge(
        f"{name} persistence mode",
        found,
        not is_on,
        "the driver unloads between cells, which resets clocks and ECC counters: nvidia-smi -pm 1",
    )


def _clocks(handle: Any, name: str) -> Check:
    """The clocks now and as they were set, compared with their maximum."""
    library = nvml()
    clocks = {"SM": library.NVML_CLOCK_SM, "memory": library.NVML_CLOCK_MEM}
    texts, is_set_low = [], False
    for label, clock in clocks.items():
        now, most, set_to = (
            ask(f"nvmlDeviceGet{kind}", handle, clock) for kind in ("ClockInfo", "MaxClockInfo", "ApplicationsClock")
        )
        if now is None or most is None:
            continue
        texts.append(
            f"{label} {now} of {most} MHz" + (f", set to {set_to}" if set_to is not None and set_to < most else "")
        )
        is_set_low = is_set_low or (set_to is not None and set_to < most)
    return judge(
        f"{name} clocks",
        "; ".join(texts) or None,
        is_set_low,
        "set below the maximum, so times differ from those of such a GPU elsewhere: nvidia-smi -rac",
    )


def _ecc(handle: Any, name: str) -> Check:
    library, is_on = nvml(), _is_on("nvmlDeviceGetEccMode", handle)
    kinds = (library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, library.NVML_VOLATILE_ECC)
    errors = ask("nvmlDeviceGetTotalEccErrors", handle, *kinds) if is_on else None
    found = "off" if is_on is False else None
    if is_on:
        count = "uncorrected errors not counted" if errors is None else f"{errors} uncorrected errors since start"
        found = f"on, {count}"
    return judge(f"{name} ECC", found, bool(errors), "the GPU's memory fails: results may be wrong, replace it")


def _mig(handle: Any, name: str) -> Check:
    is_on = _is_on("nvmlDeviceGetMigMode", handle)
    return judge(
        f"{name} MIG",
        None if is_on is None else "on" if is_on else "off",
        bool(is_on),
        "a slice shares the GPU's clocks and power with the others: nvidia-smi -mig 0",
    )
