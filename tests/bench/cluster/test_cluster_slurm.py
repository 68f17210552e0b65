"""Sweeps on a real Slurm: the records of a run on one machine, whatever happens to jobs, nodes and drivers."""

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from gate_of_cells import Gate, assert_waits_for_tasks
from harness_tools import (
    TOKEN,
    Launcher,
    bench_command,
    bench_environment,
    count_lines,
    kill,
    method_source,
    run_bench,
    sound_records,
    wait_until,
    write_plugin,
    write_sweep,
)
from slurm_daemons import Slurm

from bench.store.record import Record

pytestmark = [pytest.mark.timeout(600)]

Start = Callable[..., "subprocess.Popen[str]"]
# What a record holds that does not depend on when and where it was made.
SAME = ("id", "status", "cell", "data", "layout", "parameters", "memory", "accuracy")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "results.jsonl"


@pytest.fixture
def start(slurm: Slurm, launcher: Launcher, tmp_path: Path) -> Start:
    """Starts ``sid-bench run ARGUMENTS --executor slurm`` in the background."""
    launcher.environment |= slurm.environment

    def begin(*arguments: object, cwd: Path = tmp_path) -> "subprocess.Popen[str]":
        return launcher.start("run", *arguments, "--executor", "slurm", cwd=cwd)

    return begin


def end_of(run: "subprocess.Popen[str]", seconds: float = 300) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, once the run has ended."""
    output, errors = run.communicate(timeout=seconds)
    return run.returncode, output, errors


def parts(records: Sequence[Record]) -> dict[str, Mapping[str, Any]]:
    """The parts of records that are equal in all runs, by id; asserts that no id is there twice."""
    found = {record.id: {name: getattr(record, name) for name in SAME} for record in records}
    assert len(found) == len(records)
    return found


def sleepy(folder: Path, seconds: float) -> dict[str, str]:
    """Variables with which a method ``sleeps`` is known, that trains as BP and takes its time."""
    return bench_environment(
        write_plugin(folder / "plugins", "sleepy", {"sleeps": method_source(f"time.sleep({seconds})")})
    )


@pytest.mark.long
def test_a_sweep_has_the_records_of_a_local_run_although_jobs_are_killed(
    slurm: Slurm, start: Start, tmp_path: Path, results: Path, measuring_cli: RunCli
) -> None:
    """Three of four tasks are cancelled or killed; the rest is measured from another folder, after a drain."""
    sweep = write_sweep(
        tmp_path / "sweep.toml",
        {"method": ["bp", "sid-streamed"], "passes": ["memory", "accuracy"], "train_samples": 200, "seed": [0, 1, 2]},
        {"method": ["bp", "sid-streamed"], "passes": ["memory"], "seed": [3, 4, 5]},
    )
    run = start(sweep, "--out", results, "--threads", 1, "--retries", 0, "--cluster-set", "cells_per_task=3")
    assert wait_until(lambda: run.poll() is not None or len(slurm.jobs("RUNNING")) == 2)
    (first, second) = slurm.jobs("RUNNING")
    waiting = slurm.jobs("PENDING")
    assert len(waiting) == 2
    slurm.run("scancel", first, waiting[0])
    slurm.run("scancel", "--signal=KILL", "--full", second)
    code, output, errors = end_of(run)
    assert code == 2, output + errors
    assert re.search(r"not measured: \d+ cells? of sweep \(.*ended as CANCELLED.*the same command goes on", errors), (
        errors
    )
    stored = len(sound_records(results))
    assert 0 < stored < 12

    slurm.set_node("DRAIN")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = start(sweep, "--out", results, "--threads", 1, cwd=elsewhere)
    assert wait_until(lambda: again.poll() is not None or slurm.jobs("PENDING"))
    time.sleep(2)
    slurm.set_node("RESUME")
    code, output, errors = end_of(again)
    assert code == 0, output + errors
    assert re.search(r"1 task waiting: \S+", output), output
    assert f"{12 - stored} cells measured, {12 - stored} ok, {stored} stored before" in output

    local = tmp_path / "local.jsonl"
    assert measuring_cli("run", sweep, "--out", local, "--threads", 1).exit_code == 0
    records = sound_records(results)
    assert parts(records) == parts(sound_records(local))
    assert {record.environment["slurm"]["node"] for record in records} == {slurm.node}
    assert not results.with_name(f"{results.name}.tasks").exists()


@pytest.mark.long
def test_ranks_that_srun_starts_have_the_records_of_ranks_on_one_host(
    slurm: Slurm, launcher: Launcher, tmp_path: Path, results: Path, measuring_cli: RunCli
) -> None:
    sweep = write_sweep(
        tmp_path / "ranks.toml",
        method="sid-pipelined",
        network="pipeline-linear",
        dataset="digits",
        train_samples=100,
        batch_size=12,
        depth=4,
        ranks=2,
        threads=1,
        passes=["memory", "accuracy"],
    )
    command = bench_command(["run", sweep, "--out", results, "--executor", "torchrun"])
    ended = subprocess.run(
        ["srun", "--ntasks=2", "--overcommit", *command],
        env=launcher.environment | slurm.environment | {TOKEN: launcher.token},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    local = tmp_path / "local.jsonl"
    assert measuring_cli("run", sweep, "--out", local).exit_code == 0
    records = sound_records(results)
    assert parts(records) == parts(sound_records(local))
    assert [(record.status, record.environment["slurm"]["node"]) for record in records] == [("ok", slurm.node)]


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_a_killed_driver_leaves_them_to_the_next(
    slurm: Slurm, start: Start, launcher: Launcher, tmp_path: Path, results: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    gate.let_pass(1)
    launcher.environment = gate.environment | slurm.environment
    sweep = write_sweep(tmp_path / "sweep.toml", method="held", dataset="random", seed=[0, 1, 2, 3, 4, 5])
    options = (sweep, "--out", results, "--cluster-set", "cells_per_task=3")
    killed = start(*options)
    assert wait_until(lambda: killed.poll() is not None or count_lines(results) >= 1)
    kill(killed.pid)
    killed.wait()
    stored = count_lines(results)
    assert 1 <= stored <= 2

    second = start(*options)
    assert_waits_for_tasks(second)
    gate.let_pass(3)
    assert wait_until(lambda: second.poll() is not None or count_lines(results) > stored)
    refused = run_bench("run", *options, "--executor", "slurm", cwd=tmp_path, environment=launcher.environment)
    assert refused.returncode == 2
    assert "is being written by another sid-bench run" in refused.stderr
    second.send_signal(signal.SIGINT)
    code, output, errors = end_of(second)
    assert (code, "interrupted; every finished cell is in" in errors) == (130, True), output + errors
    assert wait_until(lambda: not slurm.jobs("PENDING", "RUNNING", "COMPLETING"), 30)
    launcher.assert_none_survives()
    assert not results.with_name(f"{results.name}.tasks").exists()

    gate.let_pass(100)
    code, output, errors = end_of(start(*options))
    assert code == 0, output + errors
    records = sound_records(results)
    assert len({record.id for record in records}) == len(records) == 6


@pytest.mark.long
def test_what_a_task_asks_of_the_cluster_reaches_it(slurm: Slurm, start: Start, tmp_path: Path, results: Path) -> None:
    """Tasks whose cells are timed have the node alone; Slurm's refusal of a partition ends the run with its reason."""
    slurm.set_node("DRAIN")
    sweep = write_sweep(
        tmp_path / "sweep.toml",
        {"method": ["bp", "sid-streamed"], "passes": ["latency"], "dataset": "random"},
        {"method": "bp", "passes": ["memory"], "dataset": "random", "seed": [0, 1]},
    )
    file = tmp_path / "cluster.toml"
    fields = [
        'partition = "main"',
        'account = "someone"',
        'time = "1:30:00"',
        "cells_per_task = 1",
        "tasks_at_once = 1",
    ]
    file.write_text("\n".join([*fields, "[sbatch]", "nice = 7"]))
    run = start(sweep, "--out", results, "--threads", 2, "--cluster", file)
    assert wait_until(lambda: run.poll() is not None or len(slurm.jobs("PENDING")) == 3)
    shown = slurm.run("squeue", "--noheader", "--array", "--format=%i %P %a %l %C %h %j").splitlines()
    untimed = {line.partition(" ")[2] for line in shown if "_" in line.partition(" ")[0]}
    timed = {line.partition(" ")[2] for line in shown if "_" not in line.partition(" ")[0]}
    assert untimed == {"main someone 1:30:00 2 OK sid-bench-sweep"}
    assert timed == {"main someone 1:30:00 2 NO sid-bench-sweep"}
    assert "Nice=7 " in slurm.run("scontrol", "show", "job", shown[0].split()[0])
    run.send_signal(signal.SIGTERM)
    assert end_of(run)[0] == 130
    assert not slurm.jobs("PENDING", "RUNNING")

    code, _, errors = end_of(start(sweep, "--out", results, "--cluster-set", "partition=nowhere"))
    assert code == 2
    assert re.search(r"error: Slurm refused \d+ tasks? of sweep: .*[Ii]nvalid partition", errors), errors
    assert not results.exists()
    assert not results.with_name(f"{results.name}.tasks").exists()


@pytest.mark.long
def test_a_setup_that_fails_ends_the_run_with_what_the_task_has_printed(
    slurm: Slurm, start: Start, tmp_path: Path, results: Path
) -> None:
    assert slurm.runs
    sweep = write_sweep(tmp_path / "sweep.toml", method="bp", dataset="random")
    code, _, errors = end_of(start(sweep, "--out", results, "--cluster-set", "setup=echo no such module; exit 3"))
    assert code == 2
    assert re.search(r"1: job \d+ ended as FAILED; no such module before it began a cell", errors), errors
    assert not results.exists()


@pytest.mark.slow
def test_smoke_has_the_records_of_a_local_run_also_after_a_cancel(
    slurm: Slurm, start: Start, tmp_path: Path, results: Path
) -> None:
    run = start("smoke", "--out", results, "--threads", 1)
    assert wait_until(lambda: run.poll() is not None or slurm.jobs("RUNNING"))
    tasks = results.parent / f"{results.name}.tasks"
    assert wait_until(lambda: run.poll() is not None or list(tasks.glob("*/records.jsonl.unfinished")), 120)
    slurm.run("scancel", *slurm.jobs("RUNNING"))
    code, output, errors = end_of(run)
    assert (code, "ended as CANCELLED" in errors) == (2, True), output + errors
    code, output, errors = end_of(start("smoke", "--out", results, "--threads", 1))
    assert code == 0, output + errors
    local = tmp_path / "local.jsonl"
    assert run_bench("run", "smoke", "--out", local, "--threads", 1, cwd=tmp_path).returncode == 0
    records = sound_records(results)
    assert parts(records) == parts(sound_records(local))
    assert all(record.latency is not None for record in records)


@pytest.mark.slow
def test_a_time_limit_is_a_record_and_a_node_that_fails_is_not(
    slurm: Slurm, start: Start, launcher: Launcher, tmp_path: Path, results: Path
) -> None:
    """A limit of one minute, a cell that takes longer, and one that does not; the node goes down meanwhile."""
    launcher.environment = sleepy(tmp_path, 600) | slurm.environment
    sweep = write_sweep(
        tmp_path / "sweep.toml",
        {"method": "sleeps", "dataset": "random"},
        {"method": "bp", "dataset": "random", "seed": [0, 1]},
    )
    run = start(sweep, "--out", results, "--cluster-set", "time=1")
    assert wait_until(lambda: run.poll() is not None or slurm.jobs("RUNNING"))
    slurm.set_node("DOWN")
    assert wait_until(lambda: run.poll() is not None or slurm.jobs("PENDING"))
    slurm.set_node("RESUME")
    code, output, errors = end_of(run)
    assert code == 0, output + errors
    records = sound_records(results)
    assert sorted(record.status for record in records) == ["ok", "ok", "timeout"]
    (late,) = (record for record in records if record.status == "timeout")
    assert re.fullmatch(r"job \d+ ended as TIMEOUT: its time limit of 1 min", str(late.message))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_cells_have_a_record_each_after_twenty_kills_and_a_resume_elsewhere(
    slurm: Slurm, start: Start, launcher: Launcher, tmp_path: Path, results: Path
) -> None:
    launcher.environment = sleepy(tmp_path, 0.02) | slurm.environment
    sweep = write_sweep(tmp_path / "sweep.toml", method="sleeps", dataset="random", seed=list(range(200)))
    chance = random.Random(5)
    run = start(sweep, "--out", results, "--cluster-set", "cells_per_task=5")
    killed: set[str] = set()
    while run.poll() is None and len(killed) < 20:
        fresh = [job for job in slurm.jobs("RUNNING") if job not in killed]
        if not fresh:
            time.sleep(0.1)
            continue
        time.sleep(chance.uniform(0, 4))
        victim = chance.choice(fresh)
        how = chance.choice([[], ["--signal=KILL", "--full"]])
        subprocess.run(
            ["scancel", *how, victim], env=launcher.environment | slurm.environment, check=False, capture_output=True
        )
        killed.add(victim)
    assert len(killed) == 20
    code, output, errors = end_of(run, 900)
    assert (code, "the same command goes on from there" in errors) == (2, True), output + errors
    assert 0 < len(sound_records(results)) < 200
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code, output, errors = end_of(
        start(sweep, "--out", results, "--cluster-set", "cells_per_task=50", cwd=elsewhere), 900
    )
    assert code == 0, output + errors
    records = sound_records(results)
    assert len(records) == len({record.id for record in records}) == 200
    assert {record.status for record in records} == {"ok"}
