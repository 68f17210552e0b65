"""Runs that are interrupted or killed: no process stays, no record is lost, none is there twice."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from harness_tools import (
    FinishedRun,
    Launcher,
    RunCli,
    count_lines,
    kill,
    run_bench,
    sound_records,
    wait_until,
    write_sweep,
)

from bench.sweep import load_sweep

QUICK = {"method": "bp", "passes": ["memory"]}
LONG = {"method": "bp", "passes": ["latency"], "latency_seconds": 3.0}


def ids_of(sweep: Path) -> list[str]:
    return [cell.id for cell in load_sweep(str(sweep)).cells]


def ids_in(results: Path) -> list[str]:
    return [record.id for record in sound_records(results)] if results.exists() else []


def end_of(run: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, once the run has ended."""
    output, errors = run.communicate(timeout=240)
    return run.returncode, output, errors


def wait_for_long_cell(run: subprocess.Popen[str], launcher: Launcher, results: Path) -> None:
    """Returns when the first, quick cell is stored and the long one that follows is in flight."""
    assert wait_until(lambda: run.poll() is not None or (count_lines(results) == 1 and launcher.cell_of(run)))
    assert run.poll() is None


def test_a_run_that_loads_torch_keeps_others_off_its_file_and_ends_on_ctrl_c(
    tmp_path: Path, results: Path, launcher: Launcher, cli: RunCli
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK)
    run = launcher.start("run", sweep, "--out", results, cwd=tmp_path)
    assert wait_until(lambda: launcher.server_of(run))
    second = cli("run", sweep, "--out", results)
    assert second.exit_code == 2
    assert "is being written by another sid-bench run; give this one another --out" in second.stderr
    run.send_signal(signal.SIGINT)
    code, _, errors = end_of(run)
    assert code == 130
    assert errors == f"interrupted; every finished cell is in {results}, and the same command goes on from there\n"
    launcher.assert_none_survives()
    assert ids_in(results) == []


def test_sigterm_during_a_cell_ends_the_run_and_keeps_what_is_finished(
    tmp_path: Path, results: Path, launcher: Launcher
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK, LONG)
    run = launcher.start("run", sweep, "--out", results, cwd=tmp_path)
    wait_for_long_cell(run, launcher, results)
    run.send_signal(signal.SIGTERM)
    code, _, errors = end_of(run)
    assert code == 130
    assert errors.startswith(f"interrupted; every finished cell is in {results}")
    assert "Traceback" not in errors
    launcher.assert_none_survives()
    assert ids_in(results) == ids_of(sweep)[:1]


def test_a_run_that_is_killed_at_any_moment_is_taken_up_again(
    tmp_path: Path, results: Path, launcher: Launcher, measuring_cli: RunCli
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK | {"seed": list(range(6))})
    run = launcher.start("run", sweep, "--out", results, cwd=tmp_path)
    moment = random.uniform(0.5, 9)
    time.sleep(moment)
    kill(run.pid)
    code, _, _ = end_of(run)
    launcher.assert_none_survives()
    stored = ids_in(results)
    assert stored == ids_of(sweep)[: len(stored)], f"killed after {moment} s"
    assert code == -signal.SIGKILL or len(stored) == 6

    again = measuring_cli("run", sweep, "--out", results)
    assert again.exit_code == 0, again.stderr
    assert f"{6 - len(stored)} cells measured" in again.stdout
    assert f"{len(stored)} stored before" in again.stdout
    assert ids_in(results) == ids_of(sweep), f"killed after {moment} s"


def test_a_fork_server_that_is_killed_costs_its_cell_only_and_retry_failed_measures_that_again(
    tmp_path: Path, results: Path, launcher: Launcher, measuring_cli: RunCli
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK, LONG, QUICK | {"seed": 1})
    run = launcher.start("run", sweep, "--out", results, cwd=tmp_path)
    wait_for_long_cell(run, launcher, results)
    server = launcher.server_of(run)
    assert server
    kill(server)
    code, output, errors = end_of(run)
    assert (code, errors) == (0, "")
    assert "3 cells measured, 1 crashed, 2 ok" in output
    launcher.assert_none_survives()
    records = sound_records(results)
    assert [record.id for record in records] == ids_of(sweep)
    assert [record.status for record in records] == ["ok", "crashed", "ok"]
    assert records[1].message == "the fork server ended with code -9 while the cell ran"

    content = results.read_bytes()
    again = measuring_cli("run", sweep, "--out", results)
    assert "0 cells measured, 3 stored before" in again.stdout
    assert results.read_bytes() == content, "a failure is a record, too"

    retried = measuring_cli("run", sweep, "--out", results, "--retry-failed")
    assert "1 cells measured, 1 ok, 2 stored before" in retried.stdout
    assert results.read_bytes().startswith(content), "the failed record stays"
    last = sound_records(results)[3:]
    assert [(record.id, record.status) for record in last] == [(records[1].id, "ok")]

    content = results.read_bytes()
    settled = measuring_cli("run", sweep, "--out", results, "--retry-failed")
    assert "0 cells measured, 3 stored before" in settled.stdout
    assert results.read_bytes() == content


def test_a_finished_sweep_is_not_measured_again(finished_run: FinishedRun, tmp_path: Path) -> None:
    content = finished_run.results.read_bytes()
    ended = run_bench("run", finished_run.sweep, "--out", finished_run.results, cwd=tmp_path)
    assert ended.returncode == 0
    assert "0 cells measured, 2 stored before" in ended.stdout
    assert finished_run.results.read_bytes() == content


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_in_a_row_lose_nothing_and_double_nothing(
    tmp_path: Path, results: Path, launcher: Launcher
) -> None:
    """Half of the kills hit right after a record was written, half at any moment."""
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK | {"seed": list(range(40))})
    moments = random.Random(os.getpid())
    for number in range(20):
        before = count_lines(results)
        run = launcher.start("run", sweep, "--out", results, cwd=tmp_path)
        if number % 2:
            wait_until(lambda run=run, before=before: run.poll() is not None or count_lines(results) > before)  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.1))
        else:
            time.sleep(moments.uniform(0, 10))
        kill(run.pid)
        end_of(run)
        launcher.assert_none_survives()
        stored = ids_in(results)
        assert stored == ids_of(sweep)[: len(stored)], number
        assert len(stored) >= before, number
    last = run_bench("run", sweep, "--out", results, cwd=tmp_path)
    assert last.returncode == 0, last.stderr
    assert ids_in(results) == ids_of(sweep)
    assert len(set(ids_of(sweep))) == 40
    assert not results.with_name("results.jsonl.damaged").exists()
