"""A step under the exact memory instrument and PyTorch's profiler at once: what it creates and holds, where and when.

The step runs several times slower than without instruments, so its times tell the order and the shares of its parts,
and not how long a step takes.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler import profile, record_function

from bench.measure.memory.measure import measure_memory
from bench.measure.trace.held_storages import held_storages
from bench.measure.trace.module_names import ModuleNames, names_of
from bench.measure.trace.recorder import TraceRecorder
from bench.measure.trace.storage_origins import Numbered, OriginMeter
from bench.store.traced_step import CLOCK, OUTSIDE, STEP, ClockMark, TracedStep
from bench.train.step import TrainingStep
from sid_core import BeliefNetwork

_MARKS = 8  # the first ones take longer


def trace_memory(step: TrainingStep, images: Tensor, labels: Tensor) -> TracedStep:
    """Trace one step; its memory is what :func:`bench.measure.memory.measure.measure_memory` measures.

    Args:
        step: the training step, on one rank and not compiled; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64, on the step's device.

    Raises:
        BenchError: as for ``measure_memory``.
    """
    names = names_of(step)
    modules = Numbered((OUTSIDE, *names.values()))
    recorder = TraceRecorder(step.network)
    following = ModuleNames(names, lambda: recorder.at[1])
    meter = OriginMeter(images.device, following, modules, step.network.classes)
    profiler = _Profiler(images.device)

    @contextmanager
    def observed() -> Iterator[None]:
        with _beliefs_noted(step.network, meter), recorder, following, profiler.running():
            yield

    memory = measure_memory(step, images, labels, meter=meter, during=observed())
    return TracedStep(
        memory=memory,
        created=meter.created(),
        events=meter.storage_events(profiler.begin_seconds),
        runs=meter.operator_runs(profiler.begin_seconds),
        held=held_storages(step, images, labels, modules),
        modules=modules.items,
        operators=meter.operator_names.items,
        frames=meter.frames.items,
        stacks=[list(stack) for stack in meter.stacks.items],
        profile=profiler.chrome_trace,
        clock=profiler.clock,
        device_snapshot=profiler.cuda_memory,
    )


@contextmanager
def _beliefs_noted(network: BeliefNetwork, meter: OriginMeter) -> Iterator[None]:
    """Tell ``meter`` the first belief of the step, which no softmax has made."""
    make = network.initial_belief

    def make_and_note(features: Tensor) -> Tensor:
        belief = make(features)
        meter.note_belief(belief)
        return belief

    network.__dict__["initial_belief"] = make_and_note  # overrides the method of the class
    try:
        yield
    finally:
        del network.__dict__["initial_belief"]


def _match_clocks() -> ClockMark:
    """Make a few marks in the profile that is being recorded, and return the one whose moment is known best."""
    marks: list[tuple[float, int, float]] = []
    for mark in range(_MARKS):
        before = time.perf_counter()
        with record_function(CLOCK):
            after = time.perf_counter()
        marks.append((after - before, mark, (before + after) / 2))
    _, mark, seconds = min(marks)
    return ClockMark(mark=mark, seconds=seconds)


class _Profiler:
    """PyTorch's recorders of one step.

    Attributes:
        begin_seconds: when the step began, by ``time.perf_counter``.
        clock: what the profiler and ``time.perf_counter`` call the same moment.
        chrome_trace: JSON; the step is its slice :data:`STEP`.
        cuda_memory: a snapshot by PyTorch's recorder of CUDA memory; None on other devices.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self.begin_seconds = 0.0
        self.clock = ClockMark(mark=0, seconds=0.0)
        self.chrome_trace = ""
        self.cuda_memory: dict[str, Any] | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record the step that runs in the context."""
        # This profiler, because importing torch.profiler, which wraps it, takes 1.5 s.
        with profile(use_device="cuda" if self._is_cuda else None, use_kineto=True, record_shapes=True) as profiler:
            if self._is_cuda:
                torch.cuda.memory._record_memory_history(stacks="python", clear_history=True)
            try:
                clock = _match_clocks()
                with record_function(STEP):
                    self.begin_seconds = time.perf_counter()
                    yield
                self.clock = ClockMark(mark=clock.mark, seconds=clock.seconds - self.begin_seconds)
                if self._is_cuda:
                    self.cuda_memory = torch.cuda.memory._snapshot()
            finally:
                if self._is_cuda:
                    torch.cuda.memory._record_memory_history(None)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(file))
            self.chrome_trace = file.read_text(encoding="utf-8", errors="replace")
