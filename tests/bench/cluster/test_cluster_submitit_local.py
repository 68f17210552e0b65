"""Tasks of submitit on this machine: the records of a run without tasks, and a clear error without submitit."""

import signal
import sys
from pathlib import Path

import pytest
from command_line import RunCli
from gate_of_cells import Gate, assert_waits_for_tasks
from harness_tools import (
    Launcher,
    count_lines,
    kill,
    sound_records,
    wait_until,
    write_sweep,
)

pytest.importorskip("submitit")


@pytest.mark.long
def test_a_killed_driver_an_interrupted_one_and_a_third_have_one_record_of_each_cell(
    launcher: Launcher, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    launcher.environment = gate.environment
    (tmp_path / "queue.py").write_text("raise RuntimeError('a module of the current folder was imported')\n")
    sweep = write_sweep(tmp_path / "sweep.toml", method="held", dataset="random", seed=[0, 1, 2, 3])
    results = tmp_path / "results.jsonl"
    options = ("run", sweep, "--out", results, "--executor", "submitit-local")
    gate.let_pass(1)
    killed = launcher.start(*options, cwd=tmp_path)
    assert wait_until(lambda: killed.poll() is not None or count_lines(results) >= 1)
    kill(killed.pid)
    assert killed.wait(60) == -signal.SIGKILL  # its task goes on, and holds its output open
    assert count_lines(results) == 1

    interrupted = launcher.start(*options, cwd=tmp_path)
    assert_waits_for_tasks(interrupted)
    gate.let_pass(2)
    assert wait_until(lambda: interrupted.poll() is not None or count_lines(results) == 2)
    interrupted.send_signal(signal.SIGINT)
    output, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, output + errors
    launcher.assert_none_survives()
    assert len(sound_records(results)) == 2

    gate.let_pass(100)
    last = launcher.start(*options, cwd=tmp_path)
    output, errors = last.communicate(timeout=120)
    assert last.returncode == 0, output + errors
    records = sound_records(results)
    assert len({record.id for record in records}) == len(records) == 4
    assert {record.status for record in records} == {"ok"}
    assert not (tmp_path / "results.jsonl.tasks").exists()
    launcher.assert_none_survives()


@pytest.mark.parametrize("executor", ["slurm", "submitit-local"])
def test_without_submitit_the_command_says_what_to_install(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    sweep = write_sweep(tmp_path / "sweep.toml", method="bp", dataset="random")
    ended = cli("run", sweep, "--out", tmp_path / "results.jsonl", "--executor", executor)
    assert ended.exit_code == 2
    assert ended.stderr.startswith(f"error: --executor {executor} needs submitit, which cannot be imported")
    assert "pip install 'sid-bench[cluster]'" in ended.stderr
    assert not (tmp_path / "results.jsonl").exists()


def test_without_slurm_the_command_says_where_to_run_it(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    sweep = write_sweep(tmp_path / "sweep.toml", method="bp", dataset="random")
    ended = cli("run", sweep, "--out", tmp_path / "results.jsonl", "--executor", "slurm")
    assert ended.exit_code == 2
    assert "the commands of Slurm (sbatch, squeue) are not on PATH" in ended.stderr
