"""Cells that run at the same time: what they measure, what disturbs them, and how a sweep of them ends."""

import io
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest
from command_line import RunCli
from harness_tools import (
    OK,
    TINY,
    Launcher,
    ScriptedExecutor,
    bench_environment,
    count_lines,
    crash,
    is_alive,
    kill,
    method_source,
    run_bench,
    sound_records,
    tiny_record,
    wait_until,
    write_plugin,
    write_sweep,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.cli.progress import BarWatcher
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.label import label
from bench.config.sweep import Sweep
from bench.errors import BenchError
from bench.execute.executor import ExecutorSettings, Share
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.jobs import can_run_beside_others, check_jobs, usual_jobs
from bench.execute.messages import Answer, Limits, Request
from bench.execute.run import run_sweep
from bench.execute.watcher import Watcher
from bench.machine.system import System
from bench.store.file import Store
from bench.store.record import Record

UNTIMED = {"threads": 1, "passes": ["memory", "accuracy"], "train_samples": 200}
TIMED = {"threads": 1, "passes": ["latency"]}
TWO_CPUS = System(cpus=range(2))


def results_by_id(results: Path) -> dict[str, dict[str, Any]]:
    """What was measured; without when, where and how long."""
    records = sound_records(results)
    assert len({record.id for record in records}) == len(records)
    left_out = {"created", "timing", "environment"}
    return {record.id: record.model_dump(exclude=left_out) for record in records}


@pytest.mark.long
def test_cells_beside_each_other_measure_what_they_measure_alone_to_the_bit(
    measuring_cli: RunCli, tmp_path: Path
) -> None:
    """The last two cells run out of memory, or are beyond the frontier."""
    sweep = write_sweep(
        tmp_path / "sweep.toml",
        UNTIMED | {"method": ["bp", "sid-streamed"], "network": "cascade-conv", "train_samples": 40},
        UNTIMED | {"method": "sid-streamed", "seed": [0, 1], "noise_rate": 0.2, "noise_kind": "pairflip"},
        UNTIMED | {"method": "bp", "threads": 2, "train_samples": 40},
        {"method": "bp", "dataset": "random", "threads": 1, "batch_size": [100_000, 1_000_000]},
    )
    alone, beside = tmp_path / "alone.jsonl", tmp_path / "beside.jsonl"
    for results, jobs in ((alone, 1), (beside, 2)):
        ended = measuring_cli("run", sweep, "--out", results, "--jobs", jobs, "--memory-limit", "200MiB")
        assert ended.exit_code == 0, ended.stderr
        assert "6 cells measured, 5 ok, 1 oom, 1 skipped" in ended.stdout
        assert ("again later, alone: bp cascade-linear random" in ended.stdout) == (jobs == 2)
    assert results_by_id(beside) == results_by_id(alone)


MEETS = """
folder = pathlib.Path(os.environ["TIMES"])
with open(folder / str(os.getpid()), "a") as file:
    file.write(f"{time.monotonic()}\\n")
if os.environ.get("MEET"):
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("no other cell has begun")
        time.sleep(0.01)
"""
CRASHES = MEETS + "os.kill(os.getpid(), signal.SIGSEGV)"


def with_methods(folder: Path, **methods: str) -> dict[str, str]:
    """The environment of runs whose methods write the times of their steps, and wait for a second cell to begin."""
    times = folder / "times"
    times.mkdir()
    plugins = write_plugin(folder / "plugins", "jobs", {name: method_source(body) for name, body in methods.items()})
    return bench_environment(plugins, TIMES=str(times), MEET="1")


@pytest.mark.long
def test_untimed_cells_run_together_and_no_timed_cell_beside_any(tmp_path: Path, results: Path) -> None:
    """One of the untimed cells crashes twice, which is nothing to the others."""
    environment = with_methods(tmp_path, meets=MEETS, crashes=CRASHES)
    timed = {"method": "meets", "latency_seconds": 0.02, "seed": [0, 1]} | TIMED
    untimed = UNTIMED | {"method": ["meets", "crashes"], "train_samples": 16}
    sweep = write_sweep(tmp_path / "sweep.toml", timed, untimed, UNTIMED | {"method": "meets", "seed": 1})
    ended = run_bench("run", sweep, "--out", results, "--jobs", 2, cwd=tmp_path, environment=environment)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert "5 cells measured, 1 crashed, 4 ok, 1 retry" in ended.stdout

    records = sound_records(results)
    found = sorted((record.cell.method, record.status, record.attempts) for record in records[:3])
    assert found == [("crashes", "crashed", 2), ("meets", "ok", 1), ("meets", "ok", 1)]
    assert [(record.cell.passes, record.cell.seed) for record in records[3:]] == [(("latency",), 0), (("latency",), 1)]
    assert all("other processes" not in record.environment["doctor"] for record in records[:3])
    spans = []
    for file in (tmp_path / "times").iterdir():
        moments = [float(line) for line in file.read_text().split()]
        spans.append((min(moments), max(moments)))
    spans.sort()
    assert len(spans) == 6, "each cell ran once, and the one that crashed twice"
    for number in (4, 5):
        assert spans[number][0] > max(end for _, end in spans[:number]), "a timed cell ran beside another"


LITTERS = 'subprocess.Popen(["sleep", "600"], start_new_session=True)\ntime.sleep(0.05)'


@pytest.fixture
def litter(tmp_path: Path, launcher: Launcher) -> Path:
    """A sweep of eight cells that leave processes behind."""
    plugins = write_plugin(tmp_path / "plugins", "litter", {"litters": method_source(LITTERS)})
    launcher.environment = bench_environment(plugins)
    axes = {"method": "litters", "passes": ["accuracy"], "threads": 1, "train_samples": 16}
    return write_sweep(tmp_path / "sweep.toml", axes | {"seed": list(range(8))})


def wait_for_busy_server(run: subprocess.Popen[str], launcher: Launcher) -> int:
    """Waits until one of the fork servers of ``run`` has a cell, and returns its process id."""
    while run.poll() is None:
        for server in launcher.servers_of(run):
            with suppress(psutil.Error):
                if psutil.Process(server).children():
                    return server
    raise AssertionError(run.communicate())


@pytest.mark.slow
def test_jobs_survive_kills_of_their_servers_and_of_the_sweep(litter: Path, results: Path, launcher: Launcher) -> None:
    arguments = ("run", litter, "--out", results, "--jobs", 2)
    run = launcher.start(*arguments, cwd=results.parent)
    assert wait_until(lambda: run.poll() is not None or count_lines(results) >= 2)
    server = wait_for_busy_server(run, launcher)
    kill(server)
    assert wait_until(lambda: server not in launcher.servers_of(run))
    goal = count_lines(results) + 1
    assert wait_until(lambda: run.poll() is not None or count_lines(results) >= goal)
    assert run.poll() is None, run.communicate()
    kill(run.pid)
    run.communicate(timeout=60)
    launcher.assert_none_survives()
    stored = results.read_bytes()

    code, output, errors = end_of(launcher, *arguments, cwd=results.parent)
    assert (code, errors) == (0, ""), output
    launcher.assert_none_survives()
    assert results.read_bytes().startswith(stored)
    records = sound_records(results)
    assert sorted(record.cell.seed for record in records) == list(range(8))
    for record in records:
        assert record.status == "ok" or "fork server ended with code -9" in str(record.message)


def end_of(launcher: Launcher, *arguments: object, cwd: Path) -> tuple[int, str, str]:
    run = launcher.start(*arguments, cwd=cwd)
    output, errors = run.communicate(timeout=120)
    return run.returncode, output, errors


@pytest.mark.long
def test_an_interrupt_ends_all_jobs_and_keeps_what_is_stored(litter: Path, results: Path, launcher: Launcher) -> None:
    run = launcher.start("run", litter, "--out", results, "--jobs", 2, cwd=results.parent)
    assert wait_until(lambda: run.poll() is not None or count_lines(results) >= 1)
    run.send_signal(signal.SIGINT)
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130, output
    assert "Traceback" not in errors
    assert f"interrupted; every finished cell is in {results}" in errors
    launcher.assert_none_survives()
    records = sound_records(results)
    assert {record.status for record in records} == {"ok"}
    assert len(records) < 8


@pytest.mark.long
def test_jobs_whose_servers_cannot_start_end_the_sweep_with_one_error(tmp_path: Path, results: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "torch.py").write_text("raise ImportError('libtorch.so: not found')", encoding="utf-8")
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random", threads=1, seed=[0, 1, 2, 3])
    run = run_bench("run", sweep, "--out", results, "--jobs", 2, cwd=tmp_path, environment=bench_environment(site))
    reason = "no cell can run: the fork server cannot start: ImportError: libtorch.so: not found"
    assert run.returncode == 2
    assert [line for line in run.stderr.splitlines() if not line.startswith("warning: --jobs")] == [f"error: {reason}"]
    assert count_lines(results) == 0


class Machine(ScriptedExecutor):
    """An executor whose cells run out of memory from some batch size on: from a smaller one where it is shared."""

    def __init__(self, limit: int, shared_limit: int) -> None:
        super().__init__(lambda cell: Answer(status="oom", message="no") if cell.batch_size >= limit else OK)
        self.jobs: list[Machine] = []
        self._shared_limit = shared_limit

    def split(self, jobs: int, threads: int) -> "list[Machine]":  # type: ignore[override]
        assert threads == 1
        self.jobs = [Machine(self._shared_limit, 0) for _ in range(jobs)]
        return self.jobs


def records_of(cells: list[Cell], machine: Machine, **options: Any) -> tuple[Record, ...]:
    with TemporaryDirectory() as folder, Store(Path(folder) / "r.jsonl") as store:
        run_sweep(Sweep("s", "", tuple(cells)), store, machine, Watcher(), **options)
        return sound_records(Path(folder) / "r.jsonl")


CELL = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 9),
        "seed": st.integers(0, 1),
        "passes": st.sampled_from([["memory"], ["memory", "accuracy"], ["memory", "latency"]]),
    }
)


@settings(deadline=None)  # the first record looks for the commit, in processes of git
@given(st.lists(CELL, unique_by=str), st.integers(1, 10), st.integers(1, 10), st.integers(2, 4), st.booleans())
def test_statuses_are_those_of_one_job_whatever_the_memory_and_the_order(
    axes: list[dict[str, Any]], limit: int, shared_limit: int, jobs: int, frontier: bool
) -> None:
    cells = [make_cell({"dataset": "digits", "method": "bp", "threads": 1} | choice) for choice in axes]
    one = records_of(cells, Machine(limit, 0), frontier=frontier)
    machine = Machine(limit, min(limit, shared_limit))
    several = records_of(cells, machine, frontier=frontier, jobs=jobs)
    assert {(record.id, record.status, record.message) for record in several} == {
        (record.id, record.status, record.message) for record in one
    }
    assert len(several) == len(one) == len(cells)
    assert all(can_run_beside_others(cell) for job in machine.jobs for cell in job.measured)


def test_an_error_of_one_job_ends_the_others_and_keeps_what_they_have_measured(tmp_path: Path) -> None:
    all_run, is_left = threading.Barrier(2), threading.Event()

    class Job(ScriptedExecutor):
        def __exit__(self, *_: object) -> None:
            is_left.set()

    def fails_beside(cell: Cell) -> Answer:
        if cell.seed == 0:
            return OK
        all_run.wait(20)
        if cell.seed == 1:
            raise BenchError("no cell can run: no more processes")
        assert is_left.wait(20), "this job is not left while it measures"
        return crash()

    cells = [make_cell({"dataset": "random", "threads": 1, "passes": ["memory"], "seed": seed}) for seed in range(3)]
    results = tmp_path / "r.jsonl"
    with Store(results) as store, pytest.raises(BenchError, match="no more processes"):
        run_sweep(Sweep("s", "", tuple(cells)), store, Job(fails_beside), Watcher(), jobs=2)
    assert [record.cell.seed for record in sound_records(results)] == [0]


# A server that is ready at once, and whose cells run forever unless they are of seed 1, which ends the server.
SERVER = """
import json, os, sys
os.write(int(sys.argv[2]), b"ready\\n")
for line in open(int(sys.argv[1])):
    if json.loads(line)["cells"][0]["seed"] == 1:
        os._exit(9)
"""


def request(seed: int) -> Request:
    return Request(task="measure", cells=(tiny_record(seed=seed).cell,), limits=Limits(timeout_seconds=60))


def test_the_end_of_one_server_leaves_the_others_alone() -> None:
    command = [sys.executable, "-c", SERVER]
    with ThreadPoolExecutor(1) as thread, ForkServer(command=command) as one, ForkServer(command=command) as other:
        other.start()
        pid = one.start()
        waiting = thread.submit(one.ask, request(0))
        assert wait_until(lambda: one._is_ready)  # it knows the other server as it is now
        assert other.ask(request(1)).message == "the fork server ended with code 9 while the cell ran"
        replaced = other.start()
        kill(pid)
        assert waiting.result(20).message == "the fork server ended with code -9 while the cell ran"
        assert is_alive(replaced)


def test_a_server_that_another_thread_closes_ends_its_cell_and_starts_no_more() -> None:
    with ThreadPoolExecutor(1) as thread, ForkServer(command=[sys.executable, "-c", SERVER]) as server:
        pid = server.start()
        waiting = thread.submit(server.ask, request(0))
        assert wait_until(lambda: server._is_ready)
        server.close()
        assert not is_alive(pid)
        assert waiting.result(20).status == "crashed"
        with pytest.raises(BenchError, match="was closed"):
            server.ask(request(0))
        assert server.pid is None


def cell_with(**axes: Any) -> Cell:
    return make_cell(TINY | axes)


def test_cells_that_are_timed_on_ranks_or_on_a_gpu_run_alone() -> None:
    assert can_run_beside_others(cell_with(passes=["memory"]))
    assert can_run_beside_others(cell_with(passes=["accuracy"]))
    assert not can_run_beside_others(cell_with(passes=["memory", "latency"]))
    assert not can_run_beside_others(cell_with(device="cuda"))
    ranks = {"method": "sid-parallel", "ranks": 2, "modules": 2, "passes": ["memory"]}
    assert not can_run_beside_others(cell_with(**ranks))


def test_the_bar_names_all_cells_that_run() -> None:
    shown = io.StringIO()
    one, two = tiny_record(seed=1), tiny_record(seed=2, status="oom", message="no [bold] memory")
    with BarWatcher(Console(file=shown, force_terminal=True, width=500, highlight=False)) as bar:
        bar.begin(2, 0, 2)
        for record in (one, two):
            bar.process_begins([record.cell], None)
        bar.cell_waits(two)
        bar.cell_ends(one)
        bar.process_ends([one.cell], None)
    lines = shown.getvalue()
    assert f"again later, alone: {label(two.cell)}: out of its share of the memory: no [bold] memory" in lines
    with BarWatcher(Console(file=shown, force_terminal=True, width=500, highlight=False)) as bar:
        bar.begin(2, 0, 2)
        bar.process_begins([one.cell], None)
        bar.process_begins([two.cell], None)
    last = shown.getvalue().removeprefix(lines)
    assert f"2 cells: {label(one.cell)} | {label(two.cell)}" in last


def test_jobs_are_checked_before_anything_runs() -> None:
    one, two, unset = cell_with(threads=1), cell_with(threads=2), cell_with()
    timed = cell_with(passes=["latency"])
    assert check_jobs([unset], 1, True, TWO_CPUS) is None
    assert check_jobs([one, timed], 2, True, TWO_CPUS) is None, "a timed cell needs no number of threads"
    assert check_jobs([one, two], 2, False, TWO_CPUS) == (
        "--jobs 2 with threads = 2 needs 4 CPUs, and 2 may be used: the cells slow each other down"
    )
    with pytest.raises(BenchError, match=re.escape("2 may be used; with --pin, legal: --jobs 1 to 1")):
        check_jobs([one, two], 2, True, TWO_CPUS)
    with pytest.raises(BenchError, match=re.escape("give --threads N (without a slowdown: 1 to 1), or leave --jobs")):
        check_jobs([one, unset], 2, False, TWO_CPUS)
    assert check_jobs([timed], 3, False, TWO_CPUS) == (
        "--jobs 3 changes nothing: every cell is timed, on several ranks or on a GPU"
    )


def test_by_default_each_cpu_has_a_cell_that_nothing_is_timed_in() -> None:
    one, two, unset = cell_with(threads=1), cell_with(threads=2), cell_with()
    timed = cell_with(passes=["latency"], threads=1)
    assert usual_jobs([one, timed], TWO_CPUS) == 2
    assert usual_jobs([one, two], TWO_CPUS) == 1, "as many as the cells with most threads leave room for"
    assert usual_jobs([two], System(cpus=range(7))) == 3
    assert usual_jobs([one], System(cpus=range(64))) == 8
    assert usual_jobs([cell_with(threads=4)], TWO_CPUS) == 1
    assert usual_jobs([one, unset], TWO_CPUS) == 1, "sums depend on the number of threads"
    assert usual_jobs([timed], TWO_CPUS) == 1
    assert all(
        check_jobs(cells, usual_jobs(cells, TWO_CPUS), True, TWO_CPUS) is None
        for cells in ([one, timed], [one, two], [one, unset], [timed])
    )


def test_jobs_without_threads_are_refused_and_nothing_is_written(cli: RunCli, sweep: Path, results: Path) -> None:
    ended = cli("run", sweep, "--out", results, "--jobs", 2)
    assert ended.exit_code == 2
    assert "--jobs 2 needs cells whose threads are set" in ended.stderr
    assert not results.exists()
    assert cli("run", sweep, "--out", results, "--jobs", 0).exit_code == 2


class Recorded(ForkServerExecutor):
    """An executor that keeps its requests instead of sending them."""

    def request_for(self, cell: Cell) -> Request:
        return self._request([cell], self._limits_for([cell]), task="measure")


class Free(System):
    """A machine of eight CPUs with 1000 bytes of free memory."""

    def __init__(self) -> None:
        super().__init__(Path("/none"), {}, range(8))

    def available_memory_bytes(self) -> int:
        return 1000


@pytest.mark.parametrize(("limit", "expected"), [(None, 225), (100, 100), (500, 225)])
def test_each_job_has_its_share_of_memory_and_cpus(limit: int | None, expected: int) -> None:
    settings = ExecutorSettings(memory_limit_bytes=limit, pin=True)
    jobs = Recorded(settings, system=Free()).split(4, 2)
    requests = [job.request_for(cell_with(threads=2)) for job in jobs]
    assert [request.limits.memory_bytes for request in requests] == [expected] * 4
    bound = [cpu for request in requests for cpu in request.cpus or ()]
    assert sorted(bound) == list(range(8)), "no CPU twice"
    narrow = [job.request_for(cell_with(threads=1)).cpus for job in jobs]
    assert len(set(narrow)) == 4


def test_one_job_has_the_whole_memory() -> None:
    alone = Recorded(ExecutorSettings(memory_limit_bytes=5000), system=Free(), share=Share(0, 1, 0))
    assert alone.request_for(cell_with()).limits.memory_bytes == 5000, "what a person asks for is not questioned"
