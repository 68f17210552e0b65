"""Fixtures of the tests on a cluster."""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness_tools import Launcher, bench_environment
from slurm_daemons import Slurm, why_no_slurm


@pytest.fixture(scope="session")
def clusters() -> Iterator[Callable[[], Slurm]]:
    """Starts a cluster for this process, on ports that are free, so that parallel tests do not share one.

    It is started again where it has ended: a fork server of another test may take its daemons for processes of a cell.
    """
    with ExitStack() as stack:
        started: list[Slurm] = []

        def running() -> Slurm:
            if not started or not started[-1].runs:
                # The path of a socket may have about a hundred characters, and that of pytest's folders is longer.
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-"))
                started.append(stack.enter_context(Slurm(Path(folder))))
            return started[-1]

        yield running


@pytest.fixture
def slurm(clusters: Callable[[], Slurm]) -> Iterator[Slurm]:
    """A cluster with Slurm, without jobs of other tests."""
    reason = why_no_slurm()
    if reason is not None:
        pytest.skip(reason)
    cluster = clusters()
    yield cluster
    cluster.cancel_all()
    cluster.resume_node()


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """Starts runs in the background, and kills what is left of them after the test."""
    launcher = Launcher(uuid.uuid4().hex, bench_environment())
    yield launcher
    launcher.kill_all()
