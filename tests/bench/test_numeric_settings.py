"""The global settings of torch that change the result or the duration of a step."""

import json
import subprocess
import sys

import pytest
import torch

from bench.machine.environment import torch_environment
from bench.machine.numeric_settings import numeric_settings

# A statement that changes one setting, and the names of the settings that it changes.
CHANGES = {
    "torch.set_num_threads(3)": {"threads"},
    "torch.set_num_interop_threads(3)": {"interop_threads"},
    "torch.set_flush_denormal(True)": {"denormals_flushed"},
    "torch.set_default_dtype(torch.float64)": {"default_dtype"},
    "torch.set_default_device('meta')": {"default_device"},
    "torch.use_deterministic_algorithms(True)": {"deterministic_algorithms"},
    "torch.use_deterministic_algorithms(True, warn_only=True)": {"deterministic_algorithms", "deterministic_warn_only"},
    "torch.utils.deterministic.fill_uninitialized_memory = False": {"deterministic_fill"},
    "torch._C._set_mkldnn_enabled(False)": {"mkldnn_enabled"},
    "torch.backends.cudnn.enabled = False": {"cudnn_enabled"},
    "torch.backends.cudnn.benchmark = True": {"cudnn_benchmark"},
    "torch.backends.cudnn.deterministic = True": {"cudnn_deterministic"},
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False": {"cuda_matmul_reduced_bf16"},
    "torch.backends.cuda.enable_flash_sdp(False)": {"sdp_flash"},
    "torch.set_grad_enabled(False)": {"grad_enabled"},
    "mode = torch.inference_mode(); mode.__enter__()": {"inference_mode", "grad_enabled", "multithreaded_backward"},
    "torch.autograd.set_detect_anomaly(True)": {"anomaly_mode"},
    "torch.autograd.set_multithreading_enabled(False)": {"multithreaded_backward"},
    "mode = torch.autocast('cpu', torch.float16, cache_enabled=False); mode.__enter__()": {
        *("autocast_cpu", "autocast_cpu_dtype", "autocast_cache"),
    },
    "torch.set_autocast_enabled('cuda', True)": {"autocast_cuda"},
}
# One process runs them all, each in a child of its own, since some settings cannot be set back.
CODE = """
import json, os, sys, torch
from bench.machine.numeric_settings import numeric_settings
for statement in json.loads(sys.argv[1]):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        before = numeric_settings()
        exec(statement)
        after = numeric_settings()
        print(json.dumps([statement, sorted(name for name in before if before[name] != after[name])]))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def changed() -> dict[str, list[str]]:
    """The names of the settings that differ after each statement."""
    command = [sys.executable, "-c", CODE, json.dumps(list(CHANGES))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    return dict(json.loads(line) for line in ended.stdout.splitlines())


@pytest.mark.parametrize("statement", CHANGES)
def test_a_changed_setting_shows(changed: dict[str, list[str]], statement: str) -> None:
    assert set(changed[statement]) == CHANGES[statement]


def test_settings_are_plain_data_that_stay_the_same_and_reading_changes_nothing() -> None:
    state = torch.get_rng_state()
    first = numeric_settings()
    assert json.loads(json.dumps(first)) == first == numeric_settings()
    assert torch.equal(state, torch.get_rng_state())
    assert first["threads"] == torch.get_num_threads()
    assert first["default_dtype"] == "torch.float32"
    assert not torch.cuda.is_initialized()


@pytest.mark.parametrize("precision", ["medium", "high"])
def test_the_precision_of_matrix_products_shows(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        assert numeric_settings()["float32_matmul_precision"] == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_setting_that_torch_refuses_to_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert numeric_settings()["float32_matmul_precision"] is None


def test_a_record_is_made_where_torch_refuses_to_read_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    environment = torch_environment("cpu")
    assert environment["float32_matmul_precision"] is None
    assert environment["threads"] == torch.get_num_threads()
