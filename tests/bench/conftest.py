"""A fork server and a command line that the tests of this folder share: a server takes seconds to load torch."""

import signal
from collections.abc import Iterator

import pytest
from command_line import ExecutorFactory, RunCli, UseExecutor
from typer.testing import CliRunner

import bench.cli.app
import bench.cli.measure
from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """A fork server for all tests that need no server of their own."""
    with ForkServer() as server:
        server.start()  # before a test changes environment variables
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
