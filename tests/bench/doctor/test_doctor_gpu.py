"""Checks of GPUs with a fake NVML, since this machine may have no GPU."""

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bench.machine import nvml as nvml_module
from bench.machine.doctor import gpu
from bench.machine.doctor.check import Check
from bench.machine.doctor.cuda import cuda_uuids

UUIDS = ["11111111-0000-0000-0000-000000000000", "22222222-0000-0000-0000-000000000000"]


class NVMLError(Exception):
    """The only type of error that NVML raises."""


class FakeNvml:
    """NVML with two quiet GPUs, not in CUDA's order; ``answers`` replaces values of the second."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.quiet: dict[str, Any] = {
            "nvmlDeviceGetComputeRunningProcesses": [],
            "nvmlDeviceGetGraphicsRunningProcesses": [],
            "nvmlDeviceGetCurrentClocksEventReasons": 0x1,
            "nvmlDeviceGetPersistenceMode": 1,
            "nvmlDeviceGetClockInfo": 345,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetApplicationsClock": 1980,
            "nvmlDeviceGetEccMode": [1, 1],
            "nvmlDeviceGetTotalEccErrors": 0,
            "nvmlDeviceGetMigMode": [0, 1],
        }

    def nvmlInit(self) -> None:  # noqa: N802 (NVML's own names)
        self.starts = getattr(self, "starts", 0) + 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in (f"GPU-{UUIDS[0]}", f"MIG-{UUIDS[1]}"):
            raise NVMLError
        return uuid

    def __getattr__(self, question: str) -> Any:
        if question not in self.__dict__.get("quiet", {}):
            raise AttributeError(question)

        def answer(handle: str, *_: Any) -> Any:
            found = (self.quiet | (self.answers if UUIDS[1] in handle else {}))[question]
            if found is NVMLError:
                raise NVMLError
            return found

        return answer


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNvml]:
    library = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(gpu, "cuda_uuids", lambda: UUIDS)
    nvml_module.nvml.cache_clear()
    yield library
    nvml_module.nvml.cache_clear()


def checks_of_second() -> dict[str, Check]:
    return {check.name.removeprefix("cuda:1 "): check for check in gpu.gpu_checks() if check.name.startswith("cuda:1")}


def test_quiet_gpus_are_ok_and_found_by_uuid(nvml: FakeNvml) -> None:
    checks = gpu.gpu_checks()
    assert {check.verdict for check in checks} == {"ok"}
    assert [check.found for check in checks[:6]] == [
        "none",
        "none",
        "on",
        "SM 345 of 1980 MHz; memory 345 of 1980 MHz",
        "on, 0 uncorrected errors since start",
        "off",
    ]
    assert {check.name.split()[0] for check in checks} == {"cuda:0", "cuda:1"}
    assert nvml.starts == 1


@pytest.mark.parametrize(
    ("name", "answers", "found"),
    [
        (
            "other processes",
            {"nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=4242, usedGpuMemory=3 * 2**30)]},
            "pid 4242 (3.0 GiB)",
        ),
        (
            "other processes",
            {"nvmlDeviceGetGraphicsRunningProcesses": [SimpleNamespace(pid=7, usedGpuMemory=None)]},
            "pid 7",
        ),
        ("throttling", {"nvmlDeviceGetCurrentClocksEventReasons": 0x24}, "power cap, temperature (driver)"),
        ("persistence mode", {"nvmlDeviceGetPersistenceMode": 0}, "off"),
        (
            "clocks",
            {"nvmlDeviceGetApplicationsClock": 1200},
            "SM 345 of 1980 MHz, set to 1200; memory 345 of 1980 MHz, set to 1200",
        ),
        ("ECC", {"nvmlDeviceGetTotalEccErrors": 3}, "on, 3 uncorrected errors since start"),
        ("MIG", {"nvmlDeviceGetMigMode": [1, 0]}, "on"),
    ],
)
def test_each_disturbance_of_a_gpu_warns(nvml: FakeNvml, name: str, answers: dict[str, Any], found: str) -> None:
    nvml.answers = answers
    check = checks_of_second()[name]
    assert (check.found, check.verdict) == (found, "warn")
    assert check.advice
    assert {other.verdict for other in gpu.device_checks(UUIDS[0], "first")} == {"ok"}


def test_a_value_that_nvml_does_not_have_is_unknown(nvml: FakeNvml) -> None:
    nvml.answers = dict.fromkeys(nvml.quiet, NVMLError)
    assert {check.verdict for check in checks_of_second().values()} == {"unknown"}
    nvml.answers = {"nvmlDeviceGetEccMode": [0, 0], "nvmlDeviceGetApplicationsClock": NVMLError}
    assert checks_of_second()["ECC"].found == "off"
    assert checks_of_second()["clocks"].verdict == "ok"


def test_this_process_is_not_another_process(nvml: FakeNvml) -> None:
    nvml.answers = {"nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=os.getpid(), usedGpuMemory=1)]}
    assert checks_of_second()["other processes"].verdict == "ok"


def test_a_gpu_that_nvml_does_not_know_is_unknown(nvml: FakeNvml) -> None:
    (check,) = gpu.device_checks("33333333-0000-0000-0000-000000000000", "cuda:2")
    assert check.verdict == "unknown"
    assert nvml.starts == 1


def test_without_a_gpu_one_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.doctor.cuda._LIBRARY", "libno-such-driver.so.1")
    cuda_uuids.cache_clear()
    try:
        assert gpu.gpu_checks() == [Check("GPU", "no GPU was found", "ok", None)]
    finally:
        cuda_uuids.cache_clear()


def test_without_nvml_a_gpu_is_unknown(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise NVMLError

    monkeypatch.setattr(nvml, "nvmlInit", fail)
    assert {check.verdict for check in gpu.gpu_checks()} == {"unknown"}
