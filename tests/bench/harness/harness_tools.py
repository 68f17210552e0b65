"""What the tests of the harness share: tiny sweeps and records, scripted executors, real runs and their processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil
from record_builder import make_record

from bench.config.cell import Cell
from bench.execute.messages import Answer
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


def write_sweep(path: Path, *grids: Mapping[str, Any], **axes: Any) -> Path:
    """Writes a TOML file of tiny cells: one grid with ``axes``, or one for each of ``grids``."""
    lines = []
    for grid in grids or [axes]:
        lines.append("[[grid]]")
        lines += [f"{axis} = {json.dumps(value)}" for axis, value in (TINY | dict(grid)).items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_record(message: str | None = None, status: str = "ok", memory_bytes: int = 1000, **axes: Any) -> Record:
    """A record of a tiny cell; ``axes`` change the cell, and only a record that is ok has memory."""
    return make_record(
        TINY | {"method": "bp"} | axes,
        memory=memory_bytes if status == "ok" else None,
        message=message,
        status=status,
        parameters=50,
        timing={"work_seconds": 0.5, "overhead_seconds": 0.25},
        environment={"sid_bench": "0.1.0", "cpu": "one with an é"},
    )


OK = Answer(status="ok", work_seconds=0.0)


def crash(message: str = "killed by signal 11 (SIGSEGV)", **fields: Any) -> Answer:
    return Answer(status="crashed", message=message, **fields)


class ScriptedExecutor:
    """Answers at once instead of running cells.

    Attributes:
        asked: each task and its cell, in order.
    """

    def __init__(self, measure: Callable[[Cell], Answer], check: Answer = OK) -> None:
        self._measure = measure
        self._check = check
        self.asked: list[tuple[str, Cell]] = []

    @property
    def measured(self) -> list[Cell]:
        return [cell for task, cell in self.asked if task == "measure"]

    def check(self, cell: Cell) -> Answer:
        self.asked.append(("check", cell))
        return self._check

    def measure(self, cell: Cell) -> Answer:
        self.asked.append(("measure", cell))
        return self._measure(cell)

    def time(self, cells: Sequence[Cell], process: int, loops: int | None = None) -> Answer:  # noqa: ARG002
        self.asked += [("time", cell) for cell in cells]
        return Answer(status="ok", members=tuple(map(self._measure, cells)))

    def trace(self, cell: Cell) -> Answer:
        self.asked.append(("trace", cell))
        return self._measure(cell)

    def split(self, jobs: int, threads: int) -> list[Self]:
        assert threads >= 1
        return [self] * jobs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


Script = Callable[..., ScriptedExecutor]  # arguments of the executor -> the executor, which the command line then uses


def write_records(path: Path, records: Iterable[Record]) -> bytes:
    """Writes a results file without the store, and returns its content."""
    content = b"".join(record.line().encode() + b"\n" for record in records)
    path.write_bytes(content)
    return content


def sound_records(path: Path) -> tuple[Record, ...]:
    """Reads a results file and asserts that it consists of whole records."""
    content = path.read_bytes()
    contents = read_records(path)
    assert contents.damaged_tail == b""
    assert content == b"" or content.endswith(b"\n")
    assert len(contents.records) == content.count(b"\n")
    return contents.records


def bench_environment(plugins: Path | None = None, **extra: str) -> dict[str, str]:
    """The environment variables of a run, with ``plugins`` on the path.

    A run has one thread, since tiny cells need no second one and the threads of parallel tests would compete.
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
    """Runs ``sid-bench ARGUMENTS`` in a process of its own, to its end."""
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
    """A tiny sweep that has ended: its file, its results, and its output."""

    sweep: Path
    results: Path
    output: str


@dataclass
class Launcher:
    """Starts runs in the background. A token in their environment identifies their processes."""

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

    def processes(self) -> list[psutil.Process]:
        """All living processes of the runs started here, and of those that they started."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has ended, or is somebody else's
                if process.environ().get(TOKEN) == self.token:
                    found.append(process)
        return found

    def commands(self) -> list[str]:
        """The command lines of :meth:`processes`."""
        return [command_of(process) for process in self.processes()]

    def servers_of(self, run: subprocess.Popen[str]) -> list[int]:
        """The process ids of the fork servers of ``run``."""
        with suppress(psutil.Error):
            children = psutil.Process(run.pid).children()
            return [child.pid for child in children if "bench.execute.forkserver" in command_of(child)]
        return []

    def server_of(self, run: subprocess.Popen[str]) -> int | None:
        """The process id of the first fork server of ``run``; None if it has none now."""
        return next(iter(self.servers_of(run)), None)

    def cell_of(self, run: subprocess.Popen[str]) -> int | None:
        """The process id of the cell that ``run`` is measuring; None if it has none now."""
        server = self.server_of(run)
        with suppress(psutil.Error):
            return next((child.pid for child in psutil.Process(server).children()), None) if server else None
        return None

    def assert_none_survives(self) -> None:
        """Waits until the last process has ended."""
        assert wait_until(lambda: not self.processes()), self.commands()

    def kill_all(self) -> None:
        """Kills what is left after a test that failed."""
        for process in self.processes():
            kill(process.pid)


def kill(pid: int) -> None:
    """Kills a process that may have ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def command_of(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], object], seconds: float = 90) -> bool:
    """Waits for ``condition``; returns whether it came true within ``seconds``."""
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
    """Writes a package as another project would install it: one module per method, and their entry points.

    Args:
        folder: where to write, for PYTHONPATH.
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
    """The source of a method that runs the statements in ``body`` before each step of BP."""
    indented = "".join(f"    {line}\n" for line in body.strip("\n").splitlines())
    return (
        f'SUMMARY = "{summary}"\n'
        "USES_ALPHA = False\n\n\n"
        "def accumulate_gradients(network, images, labels, alpha):\n"
        "    import os, pathlib, signal, subprocess, sys, time\n"
        "    import torch\n"
        f"{indented}"
        "    from bench.train.rules.bp import train_end_to_end\n"
        "    return train_end_to_end(network, images, labels, None)\n"
    )


# A rule of another package: SID over ranks, in which one rank, the last if nothing else is said, fails in its second
# step.
RANK_RULE = """SUMMARY = "a rule of the tests"
USES_ALPHA = True
ON_ONE_RANK = "sid-streamed"


def on_ranks(network):
    import dataclasses, os, pathlib, signal, sys, time
    import psutil
    import torch
    import torch.distributed as dist
    from bench.train.rules.sid_on_ranks import parallel_share as parallel

    share = parallel(network)
    steps = []

    def train(batches, alpha, optimizer):
        steps.append(None)
        if len(steps) == 2 and dist.get_rank() == dist.get_world_size() - 1:
            {failure}
        return share.train(batches, alpha, optimizer)

    return dataclasses.replace(share, train=train)
"""
