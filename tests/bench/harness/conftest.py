"""Fixtures of the harness's tests. A fork server takes seconds to load torch, so tests share one where they can."""

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness_tools import (
    OK,
    ExecutorFactory,
    FinishedRun,
    Launcher,
    RunCli,
    Script,
    ScriptedExecutor,
    UseExecutor,
    bench_environment,
    crash,
    run_bench,
    write_sweep,
)
from typer.testing import CliRunner

import bench.cli.app
import bench.cli.measure
from bench.config.cell import Cell
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.messages import Answer


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
    """Starts runs in the background, and kills what is left of them after the test."""
    launcher = Launcher(uuid.uuid4().hex, bench_environment())
    yield launcher
    launcher.kill_all()


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """A fork server for all tests that need no server of their own."""
    with ForkServer() as server:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in bench_environment().items():
                patch.setenv(name, value)
            server.start()
        yield server


@pytest.fixture(scope="session")
def executor(server: ForkServer) -> ForkServerExecutor:
    """An executor of the shared fork server, with two minutes for each cell."""
    return ForkServerExecutor(ExecutorSettings(timeout_seconds=120), server)


@pytest.fixture
def cli() -> Iterator[RunCli]:
    """``sid-bench ARGUMENTS`` in this process."""
    runner = CliRunner()
    handler = signal.getsignal(signal.SIGTERM)
    yield lambda *arguments: runner.invoke(bench.cli.app.app, [str(argument) for argument in arguments])
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def use_executor(monkeypatch: pytest.MonkeyPatch) -> UseExecutor:
    """Lets the command line make its executor with another factory."""

    def use(factory: ExecutorFactory) -> None:
        monkeypatch.setattr(bench.cli.measure, "make_executor", factory)

    return use


@pytest.fixture
def measuring_cli(cli: RunCli, server: ForkServer, use_executor: UseExecutor) -> RunCli:
    """``sid-bench ARGUMENTS`` in this process, with cells in processes of the shared fork server."""
    use_executor(lambda settings: ForkServerExecutor(settings, server))
    return cli


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Two tiny cells on synthetic images."""
    return write_sweep(tmp_path / "sweep.toml", method=["bp", "sid-streamed"], dataset="random")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


@pytest.fixture
def script(use_executor: UseExecutor) -> Script:
    """Makes a scripted executor for the command line, and returns it."""

    def install(*arguments: object, **keywords: object) -> ScriptedExecutor:
        executor = ScriptedExecutor(*arguments, **keywords)  # type: ignore[arg-type]
        use_executor(lambda _: executor)
        return executor

    return install


@pytest.fixture
def asked(script: Script) -> list[tuple[str, Cell]]:
    """The tasks and cells that the command line asks its executor for; cells that recompute their modules crash."""

    def measure(cell: Cell) -> Answer:
        is_ok = cell.recompute != "modules"
        return OK if is_ok else crash("[red] alert", final=True, work_seconds=0.0)

    return script(measure).asked
