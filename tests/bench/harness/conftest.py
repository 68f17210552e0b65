"""Fixtures of the harness's tests."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import UseExecutor
from harness_tools import (
    OK,
    FinishedRun,
    Launcher,
    Script,
    ScriptedExecutor,
    bench_environment,
    crash,
    run_bench,
    write_sweep,
)

from bench.config.cell import Cell
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
