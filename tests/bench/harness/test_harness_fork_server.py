"""The fork server and its executor: what they answer, when they start and end, and what happens if the server dies."""

import subprocess
import sys

import pytest
from harness_tools import TOKEN, Launcher, is_alive, tiny_record, wait_until

from bench.execute.executor import ExecutorSettings
from bench.execute.fork_client import ForkServer
from bench.execute.fork_executor import ForkServerExecutor


@pytest.mark.long
def test_one_server_serves_checks_and_measurements(executor: ForkServerExecutor, server: ForkServer) -> None:
    cell = tiny_record().cell
    check = executor.check(cell)
    pid = server.pid
    measured = executor.measure(cell)
    refused = executor.measure(cell.model_copy(update={"dataset": "mnist"}))
    no_gpu = executor.check(cell.model_copy(update={"device": "cuda:99"}))
    assert pid is not None
    assert server.pid == pid
    assert (check.status, check.message) == ("ok", None)
    assert check.memory is None
    assert measured.status == "ok"
    assert measured.memory is not None
    assert measured.memory.peak_activation_bytes > 0
    assert refused.status == "crashed"
    assert "--data-root" in str(refused.message)
    assert refused.final, "another attempt would not bring the data"
    assert "device = 'cuda:99' is not on this machine; legal: cpu" in str(no_gpu.message)


def test_an_answer_says_where_the_cell_was_measured_even_if_it_was_killed(server: ForkServer) -> None:
    executor = ForkServerExecutor(ExecutorSettings(timeout_seconds=0.001), server)
    answer = executor.measure(tiny_record().cell)
    assert (answer.status, answer.message) == ("timeout", "no result within 0.001 s")
    assert answer.environment["cpu"]
    assert isinstance(answer.environment["doctor"], dict)


def test_a_time_out_may_be_longer_than_the_system_can_wait_at_once(server: ForkServer) -> None:
    executor = ForkServerExecutor(ExecutorSettings(timeout_seconds=1e7), server)
    answer = executor.measure(tiny_record(dataset="random").cell)
    assert (answer.status, answer.message) == ("ok", None)


# Replaces the fork server: it starts what a cell might start, in a process group and in a session, and then dies.
DYING_SERVER = """
import os, signal, subprocess, sys
cell = 'sleep 600 & setsid sh -c "sleep 600 & sleep 600" & wait'
subprocess.Popen(["sh", "-c", cell], start_new_session=True, stdout=subprocess.DEVNULL)
os.write(int(sys.argv[2]), b"ready\\n")
open(int(sys.argv[1])).readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_if_the_fork_server_dies_the_processes_of_its_cell_are_killed_and_other_children_are_not(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    monkeypatch.setenv(TOKEN, launcher.token)
    try:
        with ForkServer(command=[sys.executable, "-c", DYING_SERVER]) as server:
            server.start()
            assert wait_until(lambda: launcher.commands().count("sleep 600") == 3)
            answer = ForkServerExecutor(ExecutorSettings(), server).measure(tiny_record().cell)
            assert launcher.processes() == []
            assert server.pid is None
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert (answer.status, answer.final) == ("crashed", False)
    assert answer.message == "the fork server ended with code -9 while the cell ran"


def test_a_server_starts_once_and_an_executor_ends_its_own_server_only(server: ForkServer) -> None:
    with ForkServerExecutor(ExecutorSettings(), server):
        assert server.start() == server.start() == server.pid
    assert server.pid is not None
    assert is_alive(server.pid)
    with ForkServer() as unused:
        assert unused.pid is None
    with ForkServer(command=["sleep"]) as own:
        pid = own.start()
        assert is_alive(pid)
    assert own.pid is None
    assert not is_alive(pid)
    assert is_alive(server.pid)  # another child, although the second server had to be killed
