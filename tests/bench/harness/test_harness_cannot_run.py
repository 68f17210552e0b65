"""What ends a sweep or a plan because no cell could run: one error with the reason, a code, and no record."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from harness_tools import bench_environment, run_bench, tiny_record, write_sweep

from bench.config.check import make_cell
from bench.errors import BenchError
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor

# The server itself, without what it loads for cells.
BARE = "import errno, os, bench.execute.forkserver as f; f._PRELOADED = ();"
OK_LINE = json.dumps({"status": "ok"})
CELLS = [tiny_record(seed=seed).cell for seed in range(4)]


def server_that(on_request: str, *preload: str) -> ForkServer:
    """A server that is ready at once and executes ``on_request`` for each request ``line``."""
    code = f"""
import json, os, sys
replies = int(sys.argv[2])
os.write(replies, b"ready\\n")
for line in open(int(sys.argv[1])):
    {on_request}
"""
    return ForkServer(preload, [sys.executable, "-c", code])


def measure(server: ForkServer, seed: int) -> str:
    """The message of a cell's answer, or of the error."""
    try:
        return str(ForkServerExecutor(ExecutorSettings(), server).measure(CELLS[seed]).message)
    except BenchError as error:
        return f"error: {error}"


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        ("raise ImportError('libtorch.so: not found')", "ImportError: libtorch.so: not found"),
        ("raise OSError('libcudart.so: cannot open')", "OSError: libcudart.so: cannot open"),
        ("import sys; sys.exit('no torch here')", "SystemExit: no torch here"),
        ("import os; os.write(2, b'Illegal instruction\\n'); os._exit(132)", "Illegal instruction"),
        ("import os; os.kill(os.getpid(), 9)", "it ended with code -9"),
    ],
)
@pytest.mark.long
def test_a_sweep_with_a_broken_torch_ends_at_once_and_records_nothing(tmp_path: Path, torch: str, reason: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "torch.py").write_text(torch, encoding="utf-8")
    sweep = write_sweep(tmp_path / "sweep.toml", seed=[0, 1, 2, 3])
    run = run_bench("run", sweep, "--out", "r.jsonl", cwd=tmp_path, environment=bench_environment(site))
    assert run.returncode == 2
    assert run.stderr.splitlines() == [f"error: no cell can run: the fork server cannot start: {reason}"]
    assert not (tmp_path / "r.jsonl").exists() or (tmp_path / "r.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("torch", "reason"),
    [
        ("raise OSError('libcudart.so: cannot open')", "can load torch: OSError: libcudart.so: cannot open"),
        ("import os; os.kill(os.getpid(), 9)", "can be started"),
    ],
)
@pytest.mark.long
def test_a_plan_with_a_broken_torch_ends_with_the_reason(tmp_path: Path, torch: str, reason: str) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "torch.py").write_text(torch, encoding="utf-8")
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random")
    plan = run_bench("plan", sweep, cwd=tmp_path, environment=bench_environment(site))
    assert plan.returncode == 2
    assert f"error: no process of the plan {reason}" in plan.stderr
    assert "Traceback" not in plan.stderr


@pytest.fixture
def without_temporary_folder(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that find no folder for temporary files."""
    site = tmp_path / "site"
    site.mkdir()
    code = "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/full', '/read-only']\n"
    (site / "sitecustomize.py").write_text(code, encoding="utf-8")
    environment = bench_environment(site)
    environment.pop("TORCHINDUCTOR_CACHE_DIR", None)  # torch sets it where it compiles, and then needs no other folder
    return environment


@pytest.mark.long
def test_a_sweep_without_a_temporary_folder_which_torch_needs_ends_with_the_reason(
    tmp_path: Path, without_temporary_folder: dict[str, str]
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random")
    run = run_bench("run", sweep, "--out", "r.jsonl", cwd=tmp_path, environment=without_temporary_folder)
    assert run.returncode == 2
    (error,) = run.stderr.splitlines()
    assert error.startswith("error: no cell can run: the fork server cannot start: FileNotFoundError")
    assert "No usable temporary directory found in ['/full', '/read-only']" in error


def test_a_plan_without_a_temporary_folder_ends_with_the_reason(
    tmp_path: Path, without_temporary_folder: dict[str, str]
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", dataset="random")
    plan = run_bench("plan", sweep, cwd=tmp_path, environment=without_temporary_folder)
    assert plan.returncode == 2
    assert "error: no process of the plan can be started: FileNotFoundError" in plan.stderr
    assert "No usable temporary directory found in ['/full', '/read-only']" in plan.stderr
    assert "Traceback" not in plan.stderr


@pytest.mark.parametrize(("number", "advice"), [("EAGAIN", "ulimit -u"), ("ENOMEM", "memory ran out")])
def test_a_server_that_cannot_fork_ends_the_sweep_with_the_first_cell(number: str, advice: str) -> None:
    code = f"{BARE}\ndef fork(): raise OSError(errno.{number}, 'no more')\nos.fork = fork; f.main()"
    with ForkServer(command=[sys.executable, "-c", code]) as server:
        message = measure(server, 0)
    assert message.startswith("error: no cell can run: the fork server failed: ")
    assert "no more" in message
    assert advice in message


def test_a_server_without_file_descriptors_ends_the_sweep_with_the_first_cell() -> None:
    code = f"{BARE} import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8)); f.main()"
    with ForkServer(command=[sys.executable, "-c", code]) as server:
        message = measure(server, 0)
    assert message.startswith("error: no cell can run: the fork server ")
    assert "Too many open files (too many open files: raise ulimit -n)" in message


FEW_DESCRIPTORS = """
import os, resource, sys
sys.path.insert(0, sys.argv[1])
from test_harness_cannot_run import OK_LINE, measure, server_that
open_now = max(map(int, os.listdir("/proc/self/fd")))
for free in range(24):
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + free, 4096))
    try:
        with server_that(f"os.write(replies, {OK_LINE.encode()} + bytes([10]))") as server:
            print(measure(server, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
"""


def test_with_few_file_descriptors_a_sweep_says_so_or_measures() -> None:
    here = Path(__file__).parent
    environment = bench_environment(here.parent)
    command = [sys.executable, "-c", FEW_DESCRIPTORS, str(here)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    messages = ended.stdout.splitlines()
    assert len(messages) == 24
    assert messages[-1] == "None", "the last one had enough"
    short = [message for message in messages if message != "None"]
    assert short
    for message in short:
        assert message.startswith("error: no cell can run: ")
        assert "ulimit -n" in message


def test_a_server_that_is_killed_with_three_cells_in_a_row_ends_the_sweep() -> None:
    with server_that("os.write(2, b'corrupted heap\\n'); os.kill(os.getpid(), 9)") as server:
        crash = "the fork server ended with code -9 while the cell ran; corrupted heap"
        assert [measure(server, seed) for seed in (0, 0, 0, 1, 1)] == [crash] * 5, "a cell may be the reason"
        assert measure(server, 2) == (
            "error: no cell can run: the fork server ended while it ran each of 3 cells in a row: corrupted heap"
        )
        assert server.pid is None


def test_an_answer_in_between_begins_the_count_again() -> None:
    answer = f"""
    if json.loads(line)["cells"][0]["seed"] == 3:
        os.write(replies, {OK_LINE.encode()} + bytes([10]))
    else:
        os.kill(os.getpid(), 9)
"""
    with server_that(answer.strip()) as server:
        messages = [measure(server, seed) for seed in (0, 1, 3, 1, 0)]
    killed = "the fork server ended with code -9 while the cell ran"
    assert messages == [killed, killed, "None", killed, killed]


def test_a_server_that_prints_much_is_waited_for_and_its_last_lines_are_told() -> None:
    noise = "sys.stderr.write('warning\\n' * 40000 + 'first\\nsecond\\nlast\\n'); sys.stderr.flush(); os._exit(4)"
    with server_that(noise) as server:
        assert measure(server, 0) == "the fork server ended with code 4 while the cell ran; first; second; last"


PRINTS = """
import os, sys

def own(network, images, labels, objective):
    sys.stdout.write("much\\n" * 100000 + "the end\\n")
    sys.stdout.flush()
    os._exit(5)
"""


def test_the_last_lines_of_a_cell_that_prints_much_are_in_its_record(
    tmp_path: Path, executor: ForkServerExecutor
) -> None:
    (tmp_path / "prints.py").write_text(PRINTS, encoding="utf-8")
    axes = {"method": f"{tmp_path / 'prints.py'}:own", "dataset": "random", "passes": ["memory"]}
    answer = executor.measure(make_cell(CELLS[0].model_dump() | axes))
    assert answer.status == "crashed"
    assert str(answer.message).startswith("exited with code 5 and without a result; ")
    assert str(answer.message).endswith("much\nthe end")
    assert len(str(answer.message)) < 3000


RANKS_WITHOUT_PROCESSES = """
import errno, os, psutil, sys, time
from bench.execute.messages import Limits
from bench.execute.rank_processes import run_ranks
os.setsid()  # as the process of a cell
fork, forks = os.fork, []
def fork_twice():
    if len(forks) == 2:
        raise BlockingIOError(errno.EAGAIN, "no more")
    forks.append(None)
    return fork()
os.fork = fork_twice
answer = run_ranks(4, Limits(timeout_seconds=60), lambda context: time.sleep(60))
print(answer.status, answer.message, len(psutil.Process().children()))
"""


def test_a_cell_whose_ranks_cannot_all_be_started_says_so_and_ends_those_that_were() -> None:
    command = [sys.executable, "-c", RANKS_WITHOUT_PROCESSES]
    ended = subprocess.run(command, env=bench_environment(), capture_output=True, text=True, timeout=50, check=True)
    status, message = ended.stdout.split(" ", 1)
    assert status == "crashed"
    assert message.startswith("2 of 4 ranks were started: BlockingIOError: [Errno 11] no more (too many processes")
    assert message.endswith(" 0\n"), "no rank is left"
