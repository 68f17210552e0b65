"""A latency in several fresh processes: the blocks of all, the failure of one, and the option that asks for them."""

from pathlib import Path

import pytest
from command_line import RunCli
from harness_tools import TINY, sound_records, write_sweep
from one_cell import measure_cell

from bench.config.check import make_cell
from bench.config.sweep import load_sweep
from bench.execute.fork_executor import ForkServerExecutor

TIMED = TINY | {"method": "bp", "dataset": "random", "depth": 1, "passes": ["memory", "latency"]}


@pytest.mark.long
def test_a_latency_in_three_processes_keeps_the_blocks_of_all(executor: ForkServerExecutor) -> None:
    record = measure_cell(make_cell(TIMED | {"processes": 3}), executor)
    assert (record.status, record.message) == ("ok", None)
    assert record.memory is not None
    assert record.latency is not None
    assert len(record.latency.blocks_by_process) == 3
    assert sum(record.latency.blocks_by_process) == len(record.latency.blocks_seconds)
    assert min(record.latency.blocks_by_process) >= 4
    assert record.trace is not None
    assert record.timing is not None


@pytest.mark.long
def test_every_process_says_how_long_modules_are_locked(executor: ForkServerExecutor) -> None:
    cell = TIMED | {"depth": 4, "modules": 4, "processes": 3}
    latency = measure_cell(make_cell(cell), executor).latency
    assert latency is not None
    assert latency.locked_shares is not None
    assert len(latency.locked_shares) == 3
    assert all(0 < share < 1 for share in latency.locked_shares)
    at_once = measure_cell(make_cell(cell | {"method": "sid-vectorised"}), executor).latency
    assert at_once is not None
    assert at_once.locked_shares is None, "its modules are not separate"


DIES_SECOND = """
import os, pathlib, signal

def own(network, images, labels, objective):
    marker = pathlib.Path(__file__).with_name("pid")
    if not marker.exists():
        marker.write_text(str(os.getpid()))
    if marker.read_text() != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    from bench.train.rules.bp import train_end_to_end
    return train_end_to_end(network, images, labels, None)
"""


@pytest.mark.long
def test_a_crash_in_the_second_process_is_recorded_and_the_sweep_goes_on(
    measuring_cli: RunCli, tmp_path: Path, results: Path
) -> None:
    (tmp_path / "dies.py").write_text(DIES_SECOND, encoding="utf-8")
    methods = {"method": [f"{tmp_path / 'dies.py'}:own", "bp"], "passes": ["latency"]}
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED | methods)
    ended = measuring_cli("run", sweep, "--processes", "2", "--retries", "0", "--out", results)
    assert ended.exit_code == 0, ended.stderr
    dead, alive = sound_records(results)
    assert dead.status == "crashed"
    assert str(dead.message).startswith("process 2 of 2: killed by signal 9")
    assert dead.latency is None
    assert alive.latency is not None
    assert len(alive.latency.blocks_by_process) == 2


def test_the_option_sets_the_axis(cli: RunCli, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED)
    listed = cli("run", sweep, "--dry-run", "--processes", 3)
    assert listed.exit_code == 0
    assert listed.stdout == cli("run", sweep, "--dry-run", "--set", "processes=3").stdout
    assert listed.stdout == cli("run", sweep, "--dry-run", "--set", "processes=3", "--processes", 3).stdout
    assert listed.stdout != cli("run", sweep, "--dry-run").stdout


@pytest.mark.parametrize("values", ["2", "2,3"])
def test_the_option_and_the_axis_must_not_differ(cli: RunCli, tmp_path: Path, values: str) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED)
    refused = cli("run", sweep, "--dry-run", "--set", f"processes={values}", "--processes", 3)
    assert refused.exit_code == 2
    assert f"--processes 3 and --set processes={values} differ" in refused.stderr


@pytest.mark.parametrize("processes", [0, -1])
def test_fewer_than_one_process_is_refused(cli: RunCli, tmp_path: Path, processes: int) -> None:
    refused = cli("run", write_sweep(tmp_path / "sweep.toml", TIMED), "--dry-run", "--processes", processes)
    assert refused.exit_code == 2


def test_without_the_latency_pass_a_cell_has_one_process(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED | {"passes": ["memory"], "processes": [1, 4]})
    (cell,) = load_sweep(str(sweep)).cells
    assert cell.processes == 1
