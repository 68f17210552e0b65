"""Steps that compute in several threads: every byte is counted, or the pass says why it cannot count."""

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import thread_rules
import torch
from one_cell import measure_cell
from torch import Tensor

from bench.analysis.step_trace.breakdown import break_down
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.errors import BenchError
from bench.execute.fork_executor import ForkServerExecutor
from bench.measure.latency.shares import measure_shares
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.predict import predict_memory
from bench.measure.memory.storages import StorageMeter
from bench.measure.memory.threads import follow_threads, lend_modes
from bench.measure.trace.step_trace import trace_memory
from bench.store.measurements.memory import Memory
from bench.train.step import TrainingStep, build_step

RULES = Path(thread_rules.__file__)
SIZES = {"dataset": "random", "depth": 4, "hidden": 64, "width": 16, "batch_size": 8, "image_size": 6}


def cell_of(rule: Any, **axes: Any) -> Cell:
    return make_cell({"method": f"{RULES}:{rule.__name__}", "passes": ["memory"], **SIZES, **axes})


def step_of(rule: Any) -> tuple[TrainingStep, Tensor, Tensor]:
    return build_step(cell_of(rule), (1, 6, 6), 10), torch.randn(8, 1, 6, 6), torch.arange(8)


def measure(rule: Any) -> Memory:
    return measure_memory(*step_of(rule))


@pytest.mark.parametrize("rule", thread_rules.FOLLOWED)
def test_a_step_in_threads_holds_at_least_what_it_holds_in_one_thread(rule: Any) -> None:
    serial, threaded = measure(thread_rules.serial), measure(rule)
    assert threaded.peak_activation_bytes >= serial.peak_activation_bytes
    # Only temporary tensors of modules that run at the same moment come on top.
    assert threaded.peak_activation_bytes <= 2 * serial.peak_activation_bytes
    assert threaded.at_peak is not None
    assert serial.at_peak is not None
    assert threaded.at_peak.activation_trunk == serial.at_peak.activation_trunk


@pytest.mark.parametrize("rule", thread_rules.FOLLOWED)
def test_a_trace_divides_all_bytes_of_a_step_in_threads_among_modules(rule: Any) -> None:
    traced = trace_memory(*step_of(rule))
    breakdown = break_down(traced)
    assert breakdown.created_bytes == traced.memory.peak_activation_bytes
    assert breakdown.total_bytes == traced.memory.peak_total_bytes
    forward = {
        traced.modules[module]
        for module, phase in zip(traced.runs.module, traced.runs.phase, strict=True)
        if phase == "f"
    }
    layers = {f"local_modules.{number}.mlp.{layer}" for number in range(4) for layer in range(3)}
    assert layers <= forward
    backward = {
        traced.modules[module]
        for module, phase in zip(traced.runs.module, traced.runs.phase, strict=True)
        if phase == "b"
    }
    # One thread has made all nodes of autograd, or nobody can tell where they were made.
    assert (layers - {f"local_modules.{number}.mlp.1" for number in range(4)} <= backward) == (
        rule is thread_rules.whole_step
    )


@pytest.mark.parametrize("rule", thread_rules.FOLLOWED)
def test_the_profiler_which_sees_one_thread_is_not_asked_for_several(rule: Any) -> None:
    assert measure(thread_rules.serial).allocator is not None
    allocator = measure(rule).allocator
    if rule is thread_rules.whole_step:  # one thread has all operators but those that zero the gradients
        assert allocator is None or abs(allocator.disagreement) < 0.01
    else:
        assert allocator is None


@pytest.mark.parametrize("rule", thread_rules.FOLLOWED)
def test_a_plan_counts_threads_too(rule: Any) -> None:
    serial, threaded = (predict_memory(cell_of(of), (1, 6, 6), 10) for of in (thread_rules.serial, rule))
    assert serial.peak_activation_bytes <= threaded.peak_activation_bytes <= 2 * serial.peak_activation_bytes


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_thread_with_the_whole_step_is_predicted_to_the_byte(precision: str) -> None:
    cell = cell_of(thread_rules.whole_step, precision=precision)
    measured = measure_memory(build_step(cell, (1, 6, 6), 10), torch.randn(8, 1, 6, 6), torch.arange(8))
    predicted = predict_memory(cell, (1, 6, 6), 10)
    apart = {"allocator", "timeline"}  # without contents, autocast runs other operators of no bytes
    assert predicted.model_dump(exclude=apart) == measured.model_dump(exclude=apart)


def test_a_thread_that_cannot_be_followed_is_refused() -> None:
    with pytest.raises(BenchError, match=r"operators such as aten::\w+ run in a thread .* cannot\s+follow"):
        measure(thread_rules.raw_thread)


def test_a_thread_that_ran_before_the_pass_is_refused_in_measurement_and_plan() -> None:
    with ThreadPoolExecutor(1) as early:
        early.submit(int).result()

        def rule(*arguments: Any) -> Any:
            return early.submit(thread_rules.serial, *arguments).result()

        step, images, labels = step_of(thread_rules.serial)
        early_step = TrainingStep(step.network, step.optimizer, rule, None)
        for ask_allocator in (True, False):
            with pytest.raises(BenchError, match="cannot follow"):
                measure_memory(early_step, images, labels, ask_allocator=ask_allocator)


@pytest.mark.parametrize("ends", [False, True])
def test_a_step_that_computes_in_other_processes_is_refused(ends: bool) -> None:
    step, images, labels = step_of(thread_rules.serial)
    started: list[int] = []

    def rule(*arguments: Any) -> Any:
        if ends or not started:
            child = os.fork()
            if child == 0:
                held = bytearray(2**27)
                signal.pause() if not ends else os._exit(held[0])
            started.append(child)
            if ends:
                os.waitpid(child, 0)
        return thread_rules.serial(*arguments)

    try:
        with pytest.raises(BenchError, match="the training step starts processes"):
            measure_memory(TrainingStep(step.network, step.optimizer, rule, None), images, labels)
    finally:
        for child in [] if ends else started:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_step_may_start_a_small_process() -> None:
    step, images, labels = step_of(thread_rules.serial)
    expected = measure_memory(step, images, labels).peak_activation_bytes
    helpers: list[subprocess.Popen[bytes]] = []

    def rule(*arguments: Any) -> Any:
        helpers.append(subprocess.Popen(["sleep", "60"]))
        return thread_rules.serial(*arguments)

    try:
        measured = measure_memory(TrainingStep(step.network, step.optimizer, rule, None), images, labels)
    finally:
        for helper in helpers:
            helper.kill()
            helper.wait()
    assert measured.peak_activation_bytes == expected


def test_a_step_without_operators_is_refused() -> None:
    step, images, labels = step_of(thread_rules.serial)
    empty = TrainingStep(step.network, torch.optim.SGD([torch.zeros(1)], lr=0.1), thread_rules.nothing, None)
    for ask_allocator in (True, False):
        with pytest.raises(BenchError, match="memory cannot be measured: the training step"):
            measure_memory(empty, images, labels, ask_allocator=ask_allocator)


def test_modes_are_lent_for_the_context_only() -> None:
    meter = StorageMeter(torch.device("cpu"))
    kept: list[Tensor] = []

    def allocate() -> None:
        kept.append(torch.empty(10))

    with follow_threads(), ThreadPoolExecutor(1) as pool:
        pool.submit(allocate).result()
        with meter:
            pool.submit(allocate).result()
            with lend_modes():
                pool.submit(allocate).result()
            pool.submit(allocate).result()
    assert len(kept) == 4
    assert meter.peak == 40


def test_phases_of_a_threaded_step_are_those_of_the_thread_that_waits() -> None:
    shares = measure_shares(*step_of(thread_rules.executor))
    assert shares.forward_seconds > 0
    assert shares.backward_seconds is not None
    assert shares.backward_seconds > 0


def test_a_threaded_method_is_timed_in_a_process_that_follows_no_thread(executor: ForkServerExecutor) -> None:
    cell = cell_of(thread_rules.kept_executor, passes=["memory", "latency"], latency_seconds=0.01)
    record = measure_cell(cell, executor)
    assert record.status == "ok", record.message
    assert record.memory is not None
    assert record.memory.allocator is None
    assert record.latency is not None
