"""Fixtures of the harness's tests. A fork server takes seconds to load torch, so the tests share one where they can."""

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from harness_tools import Endings, FinishedRun, Launcher, RunCli, bench_environment, run_bench, write_sweep
from typer.testing import CliRunner

import bench.cli.app
import bench.cli.run
from bench.config.cell import Cell
from bench.execute.isolate import Isolation


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two methods, memory and accuracy, in a process of its own."""
    folder = tmp_path_factory.mktemp("finished")
    sweep = write_sweep(
        folder / "tiny.toml", method=["bp", "sid-streamed"], passes=["memory", "accuracy"], train_samples=200
    )
    results = folder / "tiny.jsonl"
    ended = run_bench("run", sweep, "--out", results, cwd=folder)
    assert ended.returncode == 0, ended.stderr
    return FinishedRun(sweep, results, ended.stdout)


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """Starts runs in the background; kills what is left of them after the test."""
    launcher = Launcher(uuid.uuid4().hex, bench_environment())
    yield launcher
    launcher.kill_all()


@pytest.fixture(scope="session")
def isolation() -> Iterator[Isolation]:
    """A fork server for all tests that need just any."""
    with Isolation(None, download=False, timeout_seconds=120, memory_limit_bytes=None) as isolation:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bench_environment().items():
                patch.setenv(name, value)
            isolation._server = isolation._start()
        yield isolation


@pytest.fixture
def cli() -> Iterator[RunCli]:
    """``sid-bench ARGUMENTS`` in this process; for what ends before a cell would run."""
    runner = CliRunner()
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: runner.invoke(bench.cli.app.app, [str(argument) for argument in arguments])
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def measuring_cli(cli: RunCli, isolation: Isolation, monkeypatch: pytest.MonkeyPatch) -> RunCli:
    """``sid-bench ARGUMENTS`` in this process, with cells in processes of the shared fork server."""

    class Borrowed(Isolation):
        """Asks the shared server with its own settings, and leaves it running."""

        def __enter__(self) -> "Borrowed":
            self._server, self._requests, self._replies = isolation._server, isolation._requests, isolation._replies
            return self

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> None:
            assert self._server is isolation._server, "the shared server must live"

    monkeypatch.setattr(bench.cli.run, "Isolation", Borrowed)
    return cli


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two tiny cells on synthetic images."""
    return write_sweep(tmp_path / "sweep.toml", method=["bp", "sid-streamed"], dataset="random")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


class NoIsolation(Isolation):
    """Answers at once instead of measuring."""

    asked: list[tuple[str, Cell]]

    def _ask(self, task: str, cell: Cell, *_limits: object) -> dict[str, Any]:
        self.asked.append((task, cell))
        if cell.recompute == "modules" and task == "measure":
            return {"status": "crashed", "message": "[red] alert", "final": True, "work_seconds": 0.0}
        return {"status": "ok", "message": None, "work_seconds": 0.0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Cell]]:
    """What the command line asks of the processes of its cells, which are not started."""
    requests: list[tuple[str, Cell]] = []
    monkeypatch.setattr(NoIsolation, "asked", requests, raising=False)
    monkeypatch.setattr(bench.cli.run, "Isolation", NoIsolation)
    return requests


@pytest.fixture
def endings(monkeypatch: pytest.MonkeyPatch) -> Endings:
    """Lets a function say how each cell ends instead of measuring it; gives the list of the cells that were started.

    Checks of the data end as ``check``, fine if it is left out.
    """

    def install(answer: Callable[[Cell], dict[str, Any]], check: dict[str, Any] | None = None) -> list[Cell]:
        started: list[Cell] = []

        class Scripted(Isolation):
            def _ask(self, task: str, cell: Cell, *_limits: object) -> dict[str, Any]:
                if task == "check":
                    return check or {"status": "ok", "message": None}
                started.append(cell)
                return answer(cell)

        monkeypatch.setattr(bench.cli.run, "Isolation", Scripted)
        return started

    return install
