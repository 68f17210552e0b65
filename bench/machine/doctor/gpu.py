"""Checks of GPUs, by what NVML says of the devices that CUDA sees."""

import os
from functools import cache
from typing import Any

from bench.machine.doctor.check import Check, judge, show_bytes
from bench.machine.doctor.cuda import cuda_uuids

# Why a GPU runs below its clock, by NVML's bits. That it idles, or that somebody has set its clock, is no complaint.
_SLOWED_BY = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "temperature (driver)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}
_UUID_KINDS = ("GPU-", "MIG-")


def gpu_checks() -> list[Check]:
    """Every check of every GPU that CUDA sees; one line that says so where there is none."""
    uuids = cuda_uuids()
    if not uuids:
        return [Check("GPU", "no GPU was found", "ok", None)]
    return [check for index, uuid in enumerate(uuids) for check in device_checks(uuid, f"cuda:{index}")]


def device_checks(uuid: str, name: str) -> list[Check]:
    """The checks of one GPU, or the one that NVML does not answer.

    Args:
        uuid: the GPU's, as CUDA gives it: without NVML's ``GPU-`` in front.
        name: what the names of the checks begin with.
    """
    handle = _handle(uuid)
    if handle is None:
        return [Check(name, "NVML does not answer for this GPU", "unknown", None)]
    checks = (_processes, _slowed, _persistence, _clocks, _ecc, _mig)
    return [check(handle, name) for check in checks]


@cache
def nvml() -> Any:
    """NVML, started once and left open until the process ends; None where it does not answer."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _handle(uuid: str) -> Any:
    for kind in _UUID_KINDS:
        handle = _ask("nvmlDeviceGetHandleByUUID", kind + uuid)
        if handle is not None:
            return handle
    return None


def _ask(question: str, *arguments: Any) -> Any:
    """NVML's answer; None where it has none, or where the driver or its Python side is too old for the question."""
    library = nvml()
    if library is None:
        return None
    try:
        return getattr(library, question)(*arguments)
    except (library.NVMLError, AttributeError):
        return None


def _is_on(question: str, handle: Any) -> bool | None:
    """A mode; of a pair, the mode now and not the one after the next restart."""
    answer = _ask(question, handle)
    if answer is None:
        return None
    return bool(answer[0] if isinstance(answer, list) else answer)


def _processes(handle: Any, name: str) -> Check:
    lists = [_ask(f"nvmlDeviceGet{kind}RunningProcesses", handle) for kind in ("Compute", "Graphics")]
    others = {process.pid: process.usedGpuMemory for found in lists for process in found or ()}
    others.pop(os.getpid(), None)
    texts = [f"pid {pid}" + (f" ({show_bytes(used)})" if used else "") for pid, used in sorted(others.items())]
    return judge(
        f"{name} other processes",
        None if lists == [None, None] else ", ".join(texts) or "none",
        bool(others),
        "they take turns with what is measured: end them, or use another GPU",
    )


def _slowed(handle: Any, name: str) -> Check:
    bits = _ask("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:
        bits = _ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle)  # its name before driver 535
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
        "the driver unloads between cells, and clocks and ECC counters start anew: nvidia-smi -pm 1",
    )


def _clocks(handle: Any, name: str) -> Check:
    """What the clock is now and what it is held at, against the most that it can be."""
    library = nvml()
    clocks = {"SM": library.NVML_CLOCK_SM, "memory": library.NVML_CLOCK_MEM}
    texts, is_held_low = [], False
    for label, clock in clocks.items():
        now, most, held = (
            _ask(f"nvmlDeviceGet{kind}", handle, clock) for kind in ("ClockInfo", "MaxClockInfo", "ApplicationsClock")
        )
        if now is None or most is None:
            continue
        texts.append(f"{label} {now} of {most} MHz" + (f", set to {held}" if held is not None and held < most else ""))
        is_held_low = is_held_low or (held is not None and held < most)
    return judge(
        f"{name} clocks",
        "; ".join(texts) or None,
        is_held_low,
        "set below what the GPU can do, so times are not those of this GPU elsewhere: nvidia-smi -rac",
    )


def _ecc(handle: Any, name: str) -> Check:
    library, is_on = nvml(), _is_on("nvmlDeviceGetEccMode", handle)
    kinds = (library.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, library.NVML_VOLATILE_ECC)
    errors = _ask("nvmlDeviceGetTotalEccErrors", handle, *kinds) if is_on else None
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
