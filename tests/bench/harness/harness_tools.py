"""What the tests of the harness share: tiny sweeps, real runs, records made by hand, a look at the process table."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.store.file import read_records
from bench.store.record import Record

TINY: dict[str, Any] = {
    "dataset": "digits",
    "depth": 2,
    "width": 8,
    "hidden": 8,
    "batch_size": 8,
    "epochs": 1,
    "latency_seconds": 0.05,
    "passes": ["memory"],
}
TOKEN = "SID_BENCH_TEST_TOKEN"

RunCli = Callable[..., Any]  # arguments of sid-bench -> exit_code, stdout, stderr, exception
Endings = Callable[..., list[Cell]]  # how each cell ends, how checks end -> the cells that were started


def write_sweep(path: Path, *grids: Mapping[str, Any], **axes: Any) -> Path:
    """A TOML file of tiny cells: one grid with ``axes``, or one for each of ``grids``."""
    lines = []
    for grid in grids or [axes]:
        lines.append("[[grid]]")
        lines += [f"{axis} = {json.dumps(value)}" for axis, value in (TINY | dict(grid)).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def make_record(message: str | None = None, status: str = "ok", memory_bytes: int = 1000, **axes: Any) -> Record:
    """A record made by hand; ``axes`` change its cell."""
    cell = make_cell(TINY | {"method": "bp"} | axes)
    memory = {
        "peak_activation_bytes": memory_bytes,
        "peak_total_bytes": memory_bytes + 500,
        "parameter_bytes": 200,
        "buffer_bytes": 0,
        "gradient_bytes": 200,
        "optimizer_bytes": 100,
        "input_bytes": 64,
        "at_peak": None,
        "timeline": None,
        "allocator": None,
    }
    return Record.parse(
        {
            "schema": 3,
            "id": cell.id,
            "status": status,
            "message": message,
            "attempts": 1,
            "created": "2026-01-02T03:04:05+00:00",
            "suite": "by-hand",
            "cell": cell.model_dump(mode="json"),
            "data": None,
            "parameters": 50,
            "memory": memory if status == "ok" else None,
            "latency": None,
            "accuracy": None,
            "trace": None,
            "ranks": None,
            "timing": {"work_seconds": 0.5, "overhead_seconds": 0.25},
            "environment": {"sid_bench": "0.1.0", "cpu": "one with an é"},
        }
    )


def write_records(path: Path, records: Iterable[Record]) -> bytes:
    """Writes a results file without the store; returns its content."""
    content = b"".join(record.line().encode() + b"\n" for record in records)
    path.write_bytes(content)
    return content


def sound_records(path: Path) -> tuple[Record, ...]:
    """The records of a file that must hold whole lines and nothing else."""
    content = path.read_bytes()
    contents = read_records(path)
    assert contents.damaged_tail == b""
    assert content == b"" or content.endswith(b"\n")
    assert len(contents.records) == content.count(b"\n")
    return contents.records


def bench_environment(plugins: Path | None = None, **extra: str) -> dict[str, str]:
    """The environment of a run, with the folder of a plug-in package on the path.

    One thread each: the threads of several runs at once would wait for each other, and tiny cells need no second.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    if plugins:
        environment["PYTHONPATH"] = str(plugins)
    return environment | extra


def bench_command(arguments: Iterable[object]) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def run_bench(
    *arguments: object, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``sid-bench ARGUMENTS`` as a process of its own, to its end."""
    return subprocess.run(
        bench_command(arguments),
        cwd=cwd,
        env=environment or bench_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@dataclass(frozen=True)
class FinishedRun:
    """A tiny sweep that ran to its end: its file, its results, and what it printed."""

    sweep: Path
    results: Path
    output: str


@dataclass
class Launcher:
    """Starts runs in the background that can be told from all other processes by a token in their environment."""

    token: str
    environment: dict[str, str]

    def start(self, *arguments: object, cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            bench_command(arguments),
            cwd=cwd,
            env=self.environment | {TOKEN: self.token},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell that runs the tests in the background has SIGINT ignored, which a child would inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def pids(self) -> list[int]:
        """All living processes of the runs started here, those that they started included."""
        marker = f"{TOKEN}={self.token}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    if marker in (folder / "environ").read_bytes().split(b"\0"):
                        found.append(int(folder.name))
                except OSError:
                    continue  # gone, or not ours
        return found

    def server_of(self, run: subprocess.Popen[str]) -> int | None:
        """The fork server of ``run``, None if it has none now."""
        for pid in self.pids():
            if parent_of(pid) == run.pid and b"bench.execute.forkserver" in command_of(pid):
                return pid
        return None

    def cell_of(self, run: subprocess.Popen[str]) -> int | None:
        """The process of the cell that ``run`` has in flight, None if it has none now."""
        server = self.server_of(run)
        return next((pid for pid in self.pids() if server and parent_of(pid) == server), None)

    def assert_none_survives(self) -> None:
        """Waits for the last process to go."""
        assert wait_until(lambda: not self.pids()), [(pid, command_of(pid)) for pid in self.pids()]

    def kill_all(self) -> None:
        """For the end of a test that failed."""
        for pid in self.pids():
            kill(pid)


def kill(pid: int) -> None:
    """Kills a process that may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def command_of(pid: int) -> bytes:
    """The command line of a process, empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _status_of(pid: int) -> Sequence[str] | None:
    """State, parent and the rest of ``/proc/PID/stat``; None if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def parent_of(pid: int) -> int | None:
    status = _status_of(pid)
    return int(status[1]) if status else None


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead but not reaped does not."""
    status = _status_of(pid)
    return status is not None and status[0] != "Z"


def wait_until(condition: Callable[[], object], seconds: float = 90) -> bool:
    """Whether ``condition`` came true before a deadline that only a failure reaches."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def count_lines(path: Path) -> int:
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def write_plugin(folder: Path, package: str, methods: Mapping[str, str]) -> Path:
    """A package as another project would install it: one module a method, and their entry points.

    Args:
        folder: where to write; goes onto PYTHONPATH.
        package: the name of the distribution.
        methods: the source of each method's module, by the method's name.
    """
    folder.mkdir(exist_ok=True)
    lines = ["[sid_bench.methods]"]
    for name, source in methods.items():
        module = f"{package}_{name.replace('-', '_')}"
        (folder / f"{module}.py").write_text(source, encoding="utf-8")
        lines.append(f"{name} = {module}")
    information = folder / f"{package}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", encoding="utf-8")
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def method_source(body: str, summary: str = "a method of the tests") -> str:
    """A method's module: BP's step after the statements in ``body``."""
    indented = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return (
        f'SUMMARY = "{summary}"\n'
        "USES_ALPHA = False\n\n\n"
        "def accumulate_gradients(network, images, labels, alpha):\n"
        "    import os, pathlib, signal, subprocess, sys, time\n"
        "    import torch\n"
        f"{indented}"
        "    from bench.train.rules.bp import accumulate_gradients as bp\n"
        "    return bp(network, images, labels, alpha)\n"
    )
