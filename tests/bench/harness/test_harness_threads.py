"""``--threads`` and ``--pin``: the threads and the CPUs of a cell, in its record and as other processes see them."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from command_line import RunCli, UseExecutor
from harness_tools import bench_environment, run_bench, sound_records, write_sweep
from hypothesis import given
from hypothesis import strategies as st

from bench.config.cell import Cell
from bench.errors import BenchError
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor
from bench.machine.pin import choose_cpus
from bench.machine.system import System

needs_binding = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot bind a process to CPUs")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


@dataclass
class Seen:
    """The cells of a server: the sets of CPUs that their threads were bound to, and the most threads of one cell."""

    cpus: set[frozenset[int]] = field(default_factory=set)
    most_threads: int = 0


@contextmanager
def watching(server: ForkServer) -> Iterator[Seen]:
    """Looks at the children of the fork server every few milliseconds, in a thread."""
    seen, is_over = Seen(), threading.Event()
    process = psutil.Process(server.pid)

    def watch() -> None:
        while not is_over.wait(0.002):
            with suppress(psutil.Error, OSError):  # a cell has just ended
                for cell in process.children():
                    threads = [thread.id for thread in cell.threads()]
                    seen.most_threads = max(seen.most_threads, len(threads))
                    seen.cpus |= {frozenset(os.sched_getaffinity(thread)) for thread in threads[-1:]}

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        is_over.set()
        watcher.join()


@pytest.fixture
def busy_sweep(tmp_path: Path) -> Path:
    """One cell with matrices that are large enough for OpenMP to use several threads."""
    axes = {"width": 128, "hidden": 128, "batch_size": 256, "passes": ["latency"], "latency_seconds": 0.1}
    return write_sweep(tmp_path / "busy.toml", method="bp", dataset="random", **axes)


@pytest.mark.long
@linux
@needs_binding
@pytest.mark.parametrize("count", [1, 2])
def test_a_cell_computes_with_its_threads_on_its_cpus(
    measuring_cli: RunCli, server: ForkServer, busy_sweep: Path, results: Path, count: int
) -> None:
    with watching(server) as seen:
        ended = measuring_cli("run", busy_sweep, "--out", results, "--threads", count, "--pin")
    assert ended.exit_code == 0, ended.stderr
    (record,) = sound_records(results)
    assert (record.status, record.message) == ("ok", None)
    assert record.cell.threads == record.environment["threads"] == count
    pinned = record.environment["pinned_cpus"]
    assert len(pinned) == min(count, len(os.sched_getaffinity(0)))
    assert frozenset(pinned) in seen.cpus
    assert (seen.most_threads > 1) == (count > 1)  # besides those that compute, torch keeps a pool that sleeps
    assert "pinned" not in record.environment["doctor"].get("CPU affinity", "")


@linux
def test_more_threads_than_cpus_is_a_warning_and_no_error(measuring_cli: RunCli, sweep: Path, results: Path) -> None:
    count = len(os.sched_getaffinity(0)) + 1
    assert measuring_cli("run", sweep, "--set", "method=bp", "--out", results, "--threads", count).exit_code == 0
    (record,) = sound_records(results)
    assert record.environment["threads"] == count
    assert record.environment["pinned_cpus"] is None
    assert record.environment["doctor"]["threads"].startswith(f"{count}; {count - 1} usable CPUs")


@linux
@needs_binding
def test_a_cell_has_the_same_id_with_and_without_pin(measuring_cli: RunCli, sweep: Path, results: Path) -> None:
    arguments = ("run", sweep, "--set", "method=bp", "--out", results)
    assert measuring_cli(*arguments, "--pin").exit_code == 0
    assert "0 cells measured, 1 stored before" in measuring_cli(*arguments).stdout
    (record,) = sound_records(results)
    assert set(record.environment["pinned_cpus"]) <= os.sched_getaffinity(0)
    assert record.environment["threads"] == 1, "OMP_NUM_THREADS still counts where threads is not set"


@pytest.mark.long
@linux
@needs_binding
def test_a_pinned_cell_has_at_most_one_thread_per_cpu(tmp_path: Path) -> None:
    """A run that may use one CPU, on which OpenMP would start eight threads."""
    sweep, results = write_sweep(tmp_path / "s.toml", method="bp", dataset="random"), tmp_path / "r.jsonl"
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        environment = bench_environment(OMP_NUM_THREADS="8")
        ended = run_bench("run", sweep, "--out", results, "--pin", cwd=tmp_path, environment=environment)
    finally:
        os.sched_setaffinity(0, allowed)
    assert ended.returncode == 0, ended.stderr
    (record,) = sound_records(results)
    assert record.environment["pinned_cpus"] == [max(allowed)]
    assert record.environment["threads"] == 1
    assert record.environment["command"].endswith(f"run {sweep} --out {results} --pin")


def test_the_record_has_the_settings_of_torch(measuring_cli: RunCli, sweep: Path, results: Path) -> None:
    assert measuring_cli("run", sweep, "--set", "method=bp", "--out", results).exit_code == 0
    (record,) = sound_records(results)
    environment = record.environment
    assert environment["deterministic_algorithms"] is False
    assert environment["float32_matmul_precision"] == "highest"
    assert {"cudnn_deterministic", "cudnn_benchmark", "cudnn_allow_tf32", "cuda_matmul_allow_tf32"} <= set(environment)
    assert {"cgroup_cpu_quota_cores", "cgroup_memory_limit_bytes", "virtualisation"} <= set(environment)
    assert environment["kernel"] == os.uname().release
    assert environment["blas"]
    assert isinstance(environment["doctor"], dict)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads=2", "--set", "threads=1"), "--threads 2 and --set threads=1 differ"),
        (("--threads=2", "--set", "threads=1,2"), "--threads 2 and --set threads=1,2 differ"),
        (("--threads=0",), "threads = 0; legal: an integer of 1 or more"),
    ],
)
def test_illegal_threads_are_refused(
    cli: RunCli, sweep: Path, results: Path, options: tuple[str, ...], message: str
) -> None:
    ended = cli("run", sweep, "--out", results, *options)
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert not results.exists()


def test_the_option_threads_sets_the_axis(
    cli: RunCli, sweep: Path, results: Path, asked: list[tuple[str, Cell]]
) -> None:
    ended = cli("run", sweep, "--out", results, "--threads", 3, "--set", "threads = 3")
    assert ended.exit_code == 0, ended.stderr
    assert [cell.threads for _, cell in asked] == [3, 3]
    assert "seed 0 threads 3" in ended.stdout


def test_pin_is_refused_before_anything_runs_where_the_system_cannot_bind_processes(
    cli: RunCli, sweep: Path, results: Path, monkeypatch: pytest.MonkeyPatch, use_executor: UseExecutor
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    use_executor(lambda settings: ForkServerExecutor(settings, system=System()))
    ended = cli("run", sweep, "--out", results, "--pin")
    assert ended.exit_code == 2
    assert "--pin: this system cannot bind a process to CPUs" in ended.stderr
    assert not results.exists()


class Topology(System):
    """A machine given by the core and the memory node of each CPU."""

    def __init__(self, cores: dict[int, int], nodes: dict[int, int] | None = None) -> None:
        super().__init__(Path("/none"), {}, cores)
        self._cores, self._nodes = cores, nodes or {}

    def siblings(self, cpu: int) -> frozenset[int]:
        return frozenset(other for other, core in self._cores.items() if core == self._cores[cpu])

    @property
    def nodes(self) -> dict[int, int]:
        return self._nodes


FOUR_CORES = {cpu: cpu % 4 for cpu in range(8)}


@pytest.mark.parametrize(
    ("threads", "cpus"),
    [(1, [1]), (3, [1, 2, 3]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 5]), (99, list(range(8))), (None, [0, 1, 2, 3])],
)
def test_each_thread_gets_a_core_and_cpu_0_comes_last(threads: int | None, cpus: list[int]) -> None:
    assert choose_cpus(Topology(FOUR_CORES), threads) == cpus


def test_threads_stay_on_one_memory_node_where_they_fit() -> None:
    topology = Topology({cpu: cpu for cpu in range(8)}, {cpu: cpu % 2 for cpu in range(8)})
    assert choose_cpus(topology, 4) == [1, 3, 5, 7]
    assert choose_cpus(topology, 5) == [1, 2, 3, 5, 7]


@given(
    cores=st.dictionaries(st.integers(0, 40), st.integers(0, 12), min_size=1),
    nodes=st.dictionaries(st.integers(0, 40), st.integers(0, 2)),
    threads=st.none() | st.integers(1, 50),
)
def test_on_any_machine_enough_cpus_are_chosen_and_a_core_is_shared_only_if_there_are_too_few(
    cores: dict[int, int], nodes: dict[int, int], threads: int | None
) -> None:
    chosen = choose_cpus(Topology(cores, nodes), threads)
    core_count = len(set(cores.values()))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(cores)
    assert len(chosen) == (core_count if threads is None else min(threads, len(cores)))
    assert len({cores[cpu] for cpu in chosen}) == min(len(chosen), core_count)
    if 0 in cores and len(chosen) < core_count:
        assert cores[0] not in {cores[cpu] for cpu in chosen}


def test_cpus_cannot_be_chosen_where_the_system_cannot_bind_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with pytest.raises(BenchError, match="cannot bind"):
        choose_cpus(System(), 1)
    assert System().core_count == os.cpu_count()
