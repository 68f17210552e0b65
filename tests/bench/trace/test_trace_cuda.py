"""A trace on CUDA takes the snapshot of PyTorch's recorder; here the recorder is made, so that no GPU is needed."""

from typing import Any

import pytest
import torch

from bench.measure.trace import step_trace
from bench.store.traced_step import STEP


class Recorder:
    """In place of PyTorch's functions: remembers what it was asked, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        monkeypatch.setattr(torch.cuda.memory, "_record_memory_history", self.record)
        monkeypatch.setattr(torch.cuda.memory, "_snapshot", self.snapshot)
        monkeypatch.setattr(step_trace, "profile", self.profile)

    def record(self, enabled: str | None = "all", **options: Any) -> None:
        self.asked.append("stop" if enabled is None else f"record {sorted(options.items())}")

    def snapshot(self) -> dict[str, Any]:
        self.asked.append("snapshot")
        return {"segments": [], "device_traces": [[]]}

    def profile(self, use_device: str | None, **options: Any) -> torch.autograd.profiler.profile:
        self.asked.append(f"profile {use_device}")
        return torch.autograd.profiler.profile(**options)


def test_the_snapshot_is_taken_before_the_recorder_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    profiler = step_trace._Profiler(torch.device("cuda"))
    with profiler.running():
        recorder.asked.append("step")
    begun = "record [('clear_history', True), ('stacks', 'python')]"
    assert recorder.asked == ["profile cuda", begun, "step", "snapshot", "stop"]
    assert profiler.cuda_memory == {"segments": [], "device_traces": [[]]}
    assert STEP in profiler.chrome_trace


def test_the_recorder_stops_after_a_step_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    profiler = step_trace._Profiler(torch.device("cuda"))
    with pytest.raises(RuntimeError, match="no"), profiler.running():
        raise RuntimeError("no")
    assert recorder.asked[-1] == "stop"
    assert profiler.cuda_memory is None


def test_on_the_cpu_nothing_is_asked_of_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    profiler = step_trace._Profiler(torch.device("cpu"))
    with profiler.running():
        recorder.asked.append("step")
    assert recorder.asked == ["profile None", "step"]
    assert profiler.cuda_memory is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_options_are_those_of_pytorch() -> None:
    profiler = step_trace._Profiler(torch.device("cuda"))
    with profiler.running():
        torch.ones(1000, device="cuda").exp()
    assert profiler.cuda_memory is not None
    actions = [entry["action"] for entry in profiler.cuda_memory["device_traces"][0]]
    assert "alloc" in actions
