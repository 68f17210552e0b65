"""``sid-bench doctor``: the table, the JSON, the exit code, and a run on this machine."""

import json
import os
import subprocess
import sys

import pytest
from fake_machine import CPU, FakeMachine
from typer.testing import CliRunner, Result

import bench.cli.app
import bench.cli.doctor
from bench.machine.doctor import diagnose


@pytest.fixture
def on_machine(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    """Lets the command check the machine in the folder, for a moment only."""
    monkeypatch.setattr(bench.cli.doctor, "this_system", machine.system)
    monkeypatch.setattr(bench.cli.doctor, "diagnose", lambda system: diagnose(system, 0.01))
    monkeypatch.setattr("bench.machine.doctor.gpu.cuda_uuids", list)
    return machine


def doctor(*options: str) -> Result:
    return CliRunner().invoke(bench.cli.app.app, ["doctor", *options], env={"COLUMNS": "400"})


@pytest.mark.usefixtures("on_machine")
def test_a_quiet_machine_passes_strict() -> None:
    for options in ((), ("--strict",), ("--strict", "--json")):
        assert doctor(*options).exit_code == 0
    assert "warn" not in doctor().stdout


def test_a_warning_is_an_exit_code_with_strict_only(on_machine: FakeMachine) -> None:
    on_machine.write(f"{CPU}/intel_pstate/no_turbo", "0")
    assert doctor().exit_code == 0
    assert doctor("--strict").exit_code == 1
    assert doctor("--strict", "--json").exit_code == 1
    (line,) = (line for line in doctor().stdout.splitlines() if line.startswith("turbo"))
    assert line.split()[:3] == ["turbo", "on", "warn"]
    assert "no_turbo" in line


def test_an_unknown_value_is_no_warning(on_machine: FakeMachine) -> None:
    on_machine.remove("sys")
    ended = doctor("--strict")
    assert ended.exit_code == 0
    assert "unknown" in ended.stdout


def test_json_has_every_check_of_the_table(on_machine: FakeMachine) -> None:
    on_machine.write("proc/loadavg", "3.00 1.00 1.00 2/90 4242")
    checks = json.loads(doctor("--json").stdout)
    assert all(set(check) == {"name", "found", "verdict", "advice"} for check in checks)
    table = doctor().stdout
    for check in checks:
        assert check["name"] in table
        assert (check["advice"] is not None) == (check["verdict"] == "warn")
    assert [check["name"] for check in checks if check["verdict"] == "warn"] == ["load average"]


def test_the_value_of_a_variable_is_not_markup(on_machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.cli.doctor, "this_system", lambda: on_machine.system(OMP_WAIT_POLICY="[red]x[/] \udcff"))
    assert "OMP_WAIT_POLICY=[red]x[/] \\udcff" in doctor().stdout


@pytest.mark.usefixtures("on_machine")
def test_threads_that_exchange_data_slowly_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.latency.exchange_check.exchange_speed", lambda _threads: 0.33)
    checks = {check["name"]: check for check in json.loads(doctor("--json").stdout)}
    assert checks["data exchange"]["verdict"] == "warn"
    assert checks["data exchange"]["found"].endswith("threads exchange data at 33 % of the speed of one")
    assert "--threads 1" in checks["data exchange"]["advice"]


@pytest.mark.long
def test_the_command_checks_this_machine() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "4096"}
    command = [sys.executable, "-m", "bench", "doctor", "--json", "--strict"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    checks = {check["name"]: check for check in json.loads(ended.stdout)}
    assert ended.returncode == 1, "4096 threads are too many anywhere"
    assert checks["threads"]["verdict"] == "warn"
    assert {"load average", "other processes", "SMT", "swap", "free memory", "data exchange"} <= set(checks)
