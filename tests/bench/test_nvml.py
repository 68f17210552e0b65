"""NVML's answers about this process and its GPU, from a fake NVML, since this machine may have no GPU."""

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.machine import nvml as module
from bench.machine.doctor.gpu import device_checks
from bench.machine.environment import torch_environment
from bench.machine.nvml import driver_version, handle_of, process_bytes, whole_gpu

GPU, OTHER, SLICE = (f"{digit * 8}-0000-0000-0000-000000000000" for digit in "123")
MIB = 2**20


class NVMLError(Exception):
    """The type of all errors that NVML raises."""


class FakeNvml:
    """NVML with two GPUs, the second of which has a slice; ``processes`` are those on each, as (id, bytes)."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self) -> None:
        self.processes: dict[str, list[tuple[int, int | None]]] = {}
        self.start_error: Exception | None = None

    def nvmlInit(self) -> None:  # noqa: N802 (NVML's own names)
        if self.start_error is not None:
            raise self.start_error

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "580.65"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in (f"GPU-{GPU}", f"GPU-{OTHER}", f"MIG-{SLICE}"):
            raise NVMLError
        return uuid

    def nvmlDeviceIsMigDeviceHandle(self, handle: str) -> int:  # noqa: N802
        return int(handle.startswith("MIG-"))

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, _: str) -> str:  # noqa: N802
        return f"GPU-{OTHER}"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        if handle not in self.processes:
            raise NVMLError
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes[handle]]

    def nvmlDeviceGetPersistenceMode(self, handle: str) -> int:  # noqa: N802
        if handle.startswith("MIG-"):
            raise NVMLError
        return 1


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    library = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    module.nvml.cache_clear()
    yield library
    module.nvml.cache_clear()


OWN, OTHERS = os.getpid(), os.getpid() + 1000
# Processes on the GPU, the bytes that this process is known to hold, and the answer.
LISTS: dict[str, tuple[list[tuple[int, int | None]], int, int | None]] = {
    "this process among others": ([(OTHERS, 9 * MIB), (OWN, 7 * MIB)], 5 * MIB, 7 * MIB),
    "this process on two slices": ([(OWN, 7 * MIB), (OWN, 2 * MIB)], 5 * MIB, 9 * MIB),
    "the bytes are not told": ([(OWN, None)], MIB, None),
    "the bytes of one slice are not told": ([(OWN, None), (OWN, MIB)], MIB, None),
    "ids of the host, and one process": ([(OTHERS, 7 * MIB)], 5 * MIB, 7 * MIB),
    "ids of the host, and one process on two slices": ([(OTHERS, 7 * MIB), (OTHERS, MIB)], 5 * MIB, 8 * MIB),
    "ids of the host, and several processes": ([(OTHERS, 7 * MIB), (OTHERS + 1, 9 * MIB)], 5 * MIB, None),
    "one process, which is too small to be this one": ([(OTHERS, 4 * MIB)], 5 * MIB, None),
    "the id of this process, of another on the host": ([(OWN, MIB), (OTHERS, 9 * MIB)], 5 * MIB, None),
    "one process without bytes": ([(OTHERS, None)], MIB, None),
    "a driver that lists no process of a container": ([], MIB, None),
    "nothing is held": ([(OWN, 0)], 0, None),
}


@pytest.mark.parametrize("case", LISTS)
def test_the_bytes_of_this_process_are_told_or_not_measured(nvml: FakeNvml, case: str) -> None:
    processes, at_least, expected = LISTS[case]
    nvml.processes = {f"GPU-{OTHER}": [(OWN, 99 * MIB)], f"GPU-{GPU}": processes}
    assert process_bytes(GPU, at_least) == expected


def test_a_slice_is_found_by_its_own_id_and_a_gpu_with_or_without_prefix(nvml: FakeNvml) -> None:
    nvml.processes = {f"MIG-{SLICE}": [(OWN, 3 * MIB)], f"GPU-{OTHER}": [(OWN, 5 * MIB)]}
    assert process_bytes(SLICE, MIB) == process_bytes(f"MIG-{SLICE}", MIB) == 3 * MIB
    assert process_bytes(OTHER, MIB) == process_bytes(f"GPU-{OTHER}", MIB) == 5 * MIB
    assert whole_gpu(handle_of(SLICE)) == whole_gpu(handle_of(OTHER)) == f"GPU-{OTHER}"
    assert handle_of("unknown") is None
    assert process_bytes("unknown", MIB) is None
    assert process_bytes(GPU, MIB) is None, "no permission to list its processes"


@pytest.mark.parametrize("visible", ["1,0", f"GPU-{GPU[:8]}", f"MIG-{SLICE}", "", "-1"])
def test_the_numbers_of_visible_devices_do_not_matter(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    nvml.processes = {f"GPU-{GPU}": [(OWN, 7 * MIB)], f"GPU-{OTHER}": [(OWN, 5 * MIB)]}
    assert process_bytes(GPU, MIB) == 7 * MIB


def test_settings_of_a_slice_are_those_of_its_gpu_and_processes_are_its_own(nvml: FakeNvml) -> None:
    nvml.processes = {f"MIG-{SLICE}": [(OTHERS, 3 * MIB)], f"GPU-{OTHER}": []}
    checks = {check.name: check.found for check in device_checks(SLICE, "cuda:0")}
    assert checks["cuda:0 persistence mode"] == "on"
    assert checks["cuda:0 other processes"] == f"pid {OTHERS} (3 MiB)"


@pytest.mark.parametrize("error", [NVMLError("driver/library version mismatch"), None])
def test_without_nvml_nothing_is_known(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    nvml.start_error = error
    if error is None:
        monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it fails
    assert driver_version() is None
    assert process_bytes(GPU, 1) is None
    assert [check.verdict for check in device_checks(GPU, "cuda:0")] == ["unknown"]


def test_a_record_has_the_device_that_torch_uses_and_the_driver(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = SimpleNamespace(name="a GPU", uuid=SLICE, total_memory=8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda:1": properties}.get)
    environment = torch_environment("cuda:1")
    assert (environment["gpu"], environment["gpu_uuid"], environment["gpu_driver"]) == ("a GPU", SLICE, "580.65")
    nvml.start_error = NVMLError("no permission")
    module.nvml.cache_clear()
    assert torch_environment("cuda:1")["gpu_driver"] is None
