"""The states of a machine that change step times: threads that share a core, sleep, or fetch memory again."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from one_cell import measure_cell

from bench.analysis.ratio import Ratio
from bench.analysis.reliability import LEAST_EFFICIENCY, MOST_SWITCHES, noisy_because
from bench.config.check import make_cell
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_executor import ForkServerExecutor
from bench.machine.allocators import malloc_variables
from bench.machine.malloc import kept_memory
from bench.store.measurements.latency import StepUsage, TimedProcess
from bench.store.record import Record

BLOCKS = np.full((20, 4), 0.01)
USUAL = Ratio(1.0, 0.99, 1.01)
needs_two_cpus = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs and Linux's affinity"
)


def timed(
    efficiency: list[float] | None = None, switches: float = 0.0, exchange: list[float] | None = None
) -> TimedProcess:
    usage = StepUsage(minor_faults=0.0, voluntary_switches=switches, involuntary_switches=0.0)
    return TimedProcess(
        median_seconds=0.01,
        bp_median_seconds=0.01,
        usage=usage,
        bp_usage=usage,
        parallel_efficiency=efficiency,
        exchange_speed=exchange,
    )


@pytest.mark.parametrize(
    ("efficiency", "reason"),
    [
        (None, None),
        ([0.95] * 20, None),
        ([0.95] * 19 + [0.5], None),
        ([0.95] * 15 + [0.5] * 5, "5 of 20 blocks ran while the threads did not have a core each"),
        ([0.5] * 20, "all blocks ran while the threads did not have a core each"),
    ],
)
def test_blocks_on_shared_cores_make_a_ratio_unreliable(efficiency: list[float] | None, reason: str | None) -> None:
    found = noisy_because([BLOCKS], USUAL, False, [timed(efficiency)])
    assert found is None if reason is None else str(found).startswith(reason)


def test_processes_in_different_states_are_not_pooled_in_silence() -> None:
    found = noisy_because([BLOCKS, BLOCKS], USUAL, False, [timed([0.95] * 20), timed([0.55] * 20)])
    assert str(found).startswith("20 of 40 blocks")


@pytest.mark.parametrize(
    ("speeds", "reason"),
    [
        ([[0.9] * 20, [0.85] * 20], None),
        ([[0.3] * 20, [0.3] * 20], None),  # slow, but one state
        ([[0.9] * 20, [0.9] * 19 + [0.3]], None),
        ([[0.9] * 20, [0.3] * 20], "in 20 of 40 blocks at less than 60 % of that in others"),
        ([[0.9] * 20, [0.9] * 12 + [0.3] * 8], "in 8 of 40 blocks at less than 60 % of that in others"),
        ([[0.3] * 20, [0.3] * 14 + [0.9] * 6], "in 34 of 40 blocks at less than 60 % of that in others"),
    ],
)
def test_blocks_in_which_threads_exchange_data_at_two_speeds_are_not_pooled_in_silence(
    speeds: list[list[float]], reason: str | None
) -> None:
    processes = [timed([0.95] * 20, exchange=of_process) for of_process in speeds]
    found = noisy_because([BLOCKS, BLOCKS], USUAL, False, processes)
    assert found == (None if reason is None else f"the threads exchanged data at two speeds: {reason}")


@pytest.mark.parametrize(("switches", "is_noisy"), [(0.0, False), (MOST_SWITCHES, False), (470.0, True)])
def test_threads_that_sleep_make_a_ratio_unreliable(switches: float, is_noisy: bool) -> None:
    found = noisy_because([BLOCKS], USUAL, False, [timed(switches=switches)])
    assert (found is not None) == is_noisy
    assert not is_noisy or "470 voluntary context switches a step" in str(found)


def run(code: str, cpus: int) -> str:
    """What ``code`` prints in a process on so many CPUs."""
    allowed = sorted(os.sched_getaffinity(0))[:cpus]
    prefix = f"import os\nos.sched_setaffinity(0, {allowed})\nimport torch\ntorch.set_num_threads(2)\n"
    command = [sys.executable, "-c", prefix + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@needs_two_cpus
@pytest.mark.long
def test_two_threads_on_one_core_are_told_by_the_probe_and_by_the_doctor() -> None:
    code = """
        import statistics
        from bench.machine.doctor.cores import speed_at_once
        from bench.measure.latency.probe import ParallelProbe
        probe = ParallelProbe(2)
        print(statistics.median(probe.efficiency() for _ in range(9)), min(speed_at_once(2) for _ in range(3)))
    """
    probed, at_once = map(float, run(code, cpus=1).split())
    assert probed < LEAST_EFFICIENCY
    assert at_once < LEAST_EFFICIENCY


STEPS = """
    import threading
    from bench.config.check import make_cell
    from bench.measure.latency.measure import measure_latency
    from bench.train.step import build_step
    cell = make_cell({"method": "sid-published", "dataset": "random", "depth": 4, "passes": ["latency"]})
    if %s:
        torch.zeros(10**6).add_(1)
        ended = threading.Event()
        def compute():
            torch.zeros(10**6).add_(1)
            ready.set()
            ended.wait()
        ready = threading.Event()
        threading.Thread(target=compute, daemon=True).start()
        ready.wait()
    step = build_step(cell, (1, 28, 28), 10)
    batch = torch.zeros(128, 1, 28, 28), torch.zeros(128, dtype=torch.int64)
    latency = measure_latency(step, step.baseline(), *batch, 0.01)
    print(latency.processes[0].bp_usage.voluntary_switches, "|", latency.noisy_because)
"""


@pytest.mark.long
@needs_two_cpus
def test_a_live_thread_with_an_openmp_pool_is_told_by_the_switches_of_bp() -> None:
    switches, _, reason = run(STEPS % True, cpus=2).partition("|")
    assert float(switches) > MOST_SWITCHES
    assert "threads of BP's step waited for each other asleep" in reason


@needs_two_cpus
@pytest.mark.long
def test_without_such_a_thread_bp_does_not_sleep() -> None:
    switches, _, reason = run(STEPS % False, cpus=2).partition("|")
    assert float(switches) <= MOST_SWITCHES
    assert "asleep" not in reason


def measured(executor: ForkServerExecutor, threads: int, processes: int) -> Record:
    """The record of a cell whose tensors are too small to be shared between threads."""
    sizes = {"depth": 1, "width": 8, "hidden": 8, "batch_size": 8, "latency_seconds": 0.01}
    axes = {"method": "sid-streamed", "dataset": "random", "passes": ["latency"], **sizes}
    cell = make_cell(axes | {"threads": threads, "processes": processes})
    record = measure_cell(cell, executor)
    assert record.status == "ok", record.message
    return record


@pytest.mark.long
def test_a_record_says_what_each_process_used_and_how_its_allocator_was_set(executor: ForkServerExecutor) -> None:
    record = measured(executor, threads=2, processes=2)
    assert record.latency is not None
    assert record.latency.processes is not None
    assert len(record.latency.processes) == 2
    for process, blocks in zip(record.latency.processes, record.latency.blocks_by_process, strict=True):
        assert process.usage is not None
        assert process.bp_usage is not None
        assert process.parallel_efficiency is not None
        assert len(process.parallel_efficiency) == blocks
        assert process.exchange_speed is not None
        assert len(process.exchange_speed) == blocks
        assert min(process.exchange_speed) > 0
    assert record.environment["malloc_variables"] == malloc_variables({**os.environ, **kept_memory()})


@pytest.mark.long
def test_settings_of_the_user_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
    with ForkServerExecutor(ExecutorSettings()) as executor:
        assert measured(executor, threads=1, processes=1).environment["malloc_variables"] == malloc_variables()
    assert kept_memory({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}) == {}
