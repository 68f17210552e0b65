"""Runs that are interrupted or killed: no process is left, and no record is lost or stored twice."""

import random
import re
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import (
    FinishedRun,
    Launcher,
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

from bench.config.sweep import load_sweep

QUICK = {"method": "bp", "passes": ["memory"]}
LONG = {"method": "bp", "passes": ["latency"], "latency_seconds": 1.5}


def ids_of(sweep: Path) -> list[str]:
    return [cell.id for cell in load_sweep(str(sweep)).cells]


def ids_in(results: Path) -> list[str]:
    return [record.id for record in sound_records(results)] if results.exists() else []


def end_of(run: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, once the run has ended, which may take so many seconds."""
    output, errors = run.communicate(timeout=seconds)
    return run.returncode, output, errors


def wait_for_long_cell(run: subprocess.Popen[str], launcher: Launcher, results: Path, quick: int = 1) -> None:
    """Waits until the quick cells are stored and the long one runs."""
    assert wait_until(lambda: run.poll() is not None or (count_lines(results) == quick and launcher.cell_of(run)))
    assert run.poll() is None


def test_a_run_locks_its_file_while_torch_loads_and_ends_on_ctrl_c(
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


@pytest.mark.long
def test_sigterm_during_a_cell_ends_the_run_and_keeps_finished_cells(
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


@pytest.mark.long
def test_killing_the_fork_server_fails_one_cell_which_retry_failed_measures_again(
    tmp_path: Path, results: Path, launcher: Launcher, measuring_cli: RunCli
) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", QUICK, LONG, QUICK | {"seed": 1})
    run = launcher.start("run", sweep, "--out", results, "--retries", 0, cwd=tmp_path)
    wait_for_long_cell(run, launcher, results, quick=2)
    server = launcher.server_of(run)
    assert server
    kill(server)
    code, output, errors = end_of(run)
    assert (code, errors) == (0, "")
    assert "3 cells measured, 1 crashed, 2 ok" in output
    launcher.assert_none_survives()
    records = sound_records(results)
    untimed_first = [ids_of(sweep)[place] for place in (0, 2, 1)]
    assert [record.id for record in records] == untimed_first
    assert [record.status for record in records] == ["ok", "ok", "crashed"]
    assert records[2].message == "the fork server ended with code -9 while the cell ran"

    content = results.read_bytes()
    again = measuring_cli("run", sweep, "--out", results)
    assert "0 cells measured, 3 stored before" in again.stdout
    assert results.read_bytes() == content, "a stored failure counts as measured"

    retried = measuring_cli("run", sweep, "--out", results, "--retry-failed")
    assert "1 cell measured, 1 ok, 2 stored before" in retried.stdout
    assert results.read_bytes().startswith(content), "the failed record stays"
    last = sound_records(results)[3:]
    assert [(record.id, record.status) for record in last] == [(records[2].id, "ok")]

    content = results.read_bytes()
    third = measuring_cli("run", sweep, "--out", results, "--retry-failed")
    assert "0 cells measured, 3 stored before" in third.stdout
    assert results.read_bytes() == content


def test_a_finished_sweep_is_not_measured_again(finished_run: FinishedRun, tmp_path: Path) -> None:
    content = finished_run.results.read_bytes()
    ended = run_bench("run", finished_run.sweep, "--out", finished_run.results, cwd=tmp_path)
    assert ended.returncode == 0
    assert "0 cells measured, 2 stored before" in ended.stdout
    assert finished_run.results.read_bytes() == content


@pytest.fixture
def litter(tmp_path: Path, launcher: Launcher) -> None:
    """Installs the method ``litters`` for the launcher's runs: each step starts a process in a session of its own."""
    source = method_source('subprocess.Popen(["sleep", "600"], start_new_session=True)\ntime.sleep(0.05)')
    launcher.environment = bench_environment(write_plugin(tmp_path / "plugins", "litter", {"litters": source}))


def measured_parts(results: Path) -> int:
    """The number of records, and of processes that have measured a cell without one."""
    return count_lines(results) + count_lines(results.with_name(f"{results.name}.unfinished"))


def run_through_kills(
    launcher: Launcher,
    sweep: Path,
    results: Path,
    victims: list[str],
    moments: random.Random,
    last_seconds: float = 240,
) -> None:
    """Kills the processes named in ``victims`` at random moments, and starts the sweep again when it was killed.

    The run after the last kill may take ``last_seconds``.
    """
    start = partial(launcher.start, "run", sweep, "--out", results, cwd=results.parent)
    run = start()
    for number, victim in enumerate(victims):
        place = f"kill {number}: {victim}"
        # Something is measured between two kills of servers: a sweep gives up after three with nothing in between.
        more = moments.randrange(int(number > 0 and victims[number - 1] == "server"), 4)
        goal = measured_parts(results) + more
        wait_until(lambda run=run, goal=goal: run.poll() is not None or measured_parts(results) >= goal)  # type: ignore[misc]
        time.sleep(moments.uniform(0, 0.2 if more else 2.0))  # soon after a record, or at any moment of the start
        find = {"sweep": lambda run: run.pid, "server": launcher.server_of, "cell": launcher.cell_of}[victim]
        while (pid := find(run)) is None:
            assert run.poll() is None, f"{place}: the sweep has ended: {run.communicate()}"
            time.sleep(0.01)
        kill(pid)
        if victim == "sweep":
            code, _, errors = end_of(run)
            assert code == -signal.SIGKILL, f"{place}: {errors}"
            launcher.assert_none_survives()
            ids = ids_in(results)
            assert len(set(ids)) == len(ids), place
            run = start()
        elif victim == "server":
            assert wait_until(
                lambda run=run, pid=pid: run.poll() is not None or launcher.server_of(run) not in (None, pid)
            )  # type: ignore[misc]
            if run.poll() is not None:  # the server was killed before it had loaded torch, so it could not start
                code, _, errors = end_of(run)
                assert (code, "the fork server cannot start: it ended with code -9" in errors) == (2, True), errors
                run = start()
    code, _, errors = end_of(run, last_seconds)
    assert (code, errors) == (0, "")
    launcher.assert_none_survives()


def assert_each_cell_has_one_record(results: Path, cells: int) -> None:
    """Asserts one record per cell; a cell that was killed twice in a row may be a crash and says so."""
    records = sound_records(results)
    assert len({record.id for record in records}) == len(records) == cells
    assert not results.with_name(f"{results.name}.damaged").exists()
    assert not results.with_name(f"{results.name}.unfinished").exists()
    for record in records:
        if record.latency is not None:
            assert len(record.latency.blocks_by_process) == record.cell.processes
    for record in records:
        if record.status != "ok":
            assert (record.status, record.attempts) == ("crashed", 2)
            assert re.search("killed by signal 9|fork server ended with code -9", str(record.message))
    assert any(record.attempts == 2 for record in records)


def cells_and_groups(cells: int, groups: int) -> list[dict[str, object]]:
    """Cells that are not timed, and groups of two cells that two processes time."""
    quick = QUICK | {"method": "litters", "seed": list(range(cells))}
    timed = {"method": ["bp", "litters"], "passes": ["latency"], "processes": 2, "latency_seconds": 0.01}
    return [quick, timed | {"seed": list(range(groups))}]


@pytest.mark.usefixtures("litter")
@pytest.mark.long
def test_a_sweep_survives_kills_of_itself_its_server_and_its_cells(
    tmp_path: Path, results: Path, launcher: Launcher
) -> None:
    """The sweep is killed when one of the two processes of its group has been measured."""
    sweep = write_sweep(tmp_path / "sweep.toml", *cells_and_groups(3, 1))
    run_through_kills(launcher, sweep, results, ["cell", "server", "sweep"], random.Random(78))
    assert_each_cell_has_one_record(results, 5)


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.usefixtures("litter")
def test_two_hundred_cells_survive_more_than_fifty_kills(tmp_path: Path, results: Path, launcher: Launcher) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", *cells_and_groups(80, 60))
    moments = random.Random(20)
    victims = ["sweep", "server", "cell"] * 20
    moments.shuffle(victims)
    run_through_kills(launcher, sweep, results, victims, moments, last_seconds=900)
    assert_each_cell_has_one_record(results, 200)
