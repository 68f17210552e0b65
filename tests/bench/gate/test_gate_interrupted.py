"""``sid-bench gate`` that is interrupted: real processes, real signals."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bench.execute.gate import TOP

TOKEN = "SID_BENCH_TEST_OF_GATE"


def processes(token: str) -> list[psutil.Process]:
    """All living processes of the gate that was started with ``token``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TOKEN) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # it has ended, or is somebody else's
            continue
    return found


def measures(token: str) -> bool:
    """Whether the measurement of the gate has come as far as its fork server."""
    commands = []
    for process in processes(token):
        try:
            commands.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return any("bench.execute.forkserver" in command for command in commands)


def worktrees() -> str:
    command = ["git", "worktree", "list", "--porcelain"]
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout


@contextmanager
def measuring_gate(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A gate that measures the code of HEAD, and its token."""
    token = str(tmp_path)
    arguments = ["--base", "HEAD", "--bytes-only", "--only", "method=bp", "--out", str(tmp_path / "out")]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "gate", *arguments],
        cwd=TOP,
        env={**os.environ, TOKEN: token, "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has SIGINT ignored, which a child would inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as gate:
        try:
            deadline = time.monotonic() + 60
            while not measures(token):
                assert gate.poll() is None, gate.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert str(temporary) in worktrees()
            yield gate, token
        finally:
            for process in processes(token):
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=str)
def test_an_interrupted_gate_leaves_no_process_and_no_worktree(tmp_path: Path, number: signal.Signals) -> None:
    with measuring_gate(tmp_path) as (gate, token):
        gate.send_signal(number)
        _, errors = gate.communicate(timeout=60)
        assert gate.returncode == 130, errors
        assert errors.splitlines()[-1] == "interrupted"
        assert "Traceback" not in errors
        assert processes(token) == []
        assert str(tmp_path) not in worktrees()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_gate_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    with measuring_gate(tmp_path) as (gate, token):
        gate.kill()
        gate.communicate(timeout=60)
        deadline = time.monotonic() + 30
        while processes(token):
            assert time.monotonic() < deadline, [process.cmdline() for process in processes(token)]
            time.sleep(0.05)
    # What a killed gate cannot remove: its checkout, which git forgets once the folder is gone.
    shutil.rmtree(tmp_path)
    subprocess.run(["git", "worktree", "prune"], cwd=TOP, check=True)
