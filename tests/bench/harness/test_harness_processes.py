"""A latency in several fresh processes: what each runs, what travels, what a failure of one means."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness_tools import (
    TINY,
    RunCli,
    bench_environment,
    method_source,
    run_bench,
    sound_records,
    write_plugin,
    write_sweep,
)

from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.sweep import load_sweep
from bench.execute.isolate import Isolation
from bench.execute.run import measure_cell

TIMED = TINY | {"method": "bp", "dataset": "random", "depth": 1, "passes": ["memory", "latency"]}


def test_a_latency_in_three_processes_keeps_the_blocks_of_all(isolation: Isolation) -> None:
    record = measure_cell(make_cell(TIMED | {"processes": 3}), "suite", isolation.measure)
    assert (record.status, record.message) == ("ok", None)
    assert record.memory is not None
    assert record.latency is not None
    assert len(record.latency.blocks_by_process) == 3
    assert sum(record.latency.blocks_by_process) == len(record.latency.blocks_seconds)
    assert min(record.latency.blocks_by_process) >= 10
    assert record.trace is not None
    assert record.timing is not None


class Answering(Isolation):
    """Plays the processes of a cell, and remembers what they were asked."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        super().__init__(None, download=False, timeout_seconds=7, memory_limit_bytes=1)
        self.answers: Iterator[dict[str, Any]] = iter(answers)
        self.asked: list[list[Any]] = []

    def _ask(self, _task: str, _cell: Cell, timeout_seconds: float, *rest: Any) -> dict[str, Any]:
        assert timeout_seconds == 7  # each has the whole of it
        self.asked.append(json.loads(json.dumps(rest[1])))
        return next(self.answers)


def answer(**parts: Any) -> dict[str, Any]:
    return {"status": "ok", "message": None, "work_seconds": 1.5} | parts


CELL = make_cell(TIMED | {"processes": 3})


def test_samples_travel_from_process_to_process_and_the_first_runs_the_other_passes() -> None:
    isolation = Answering(
        [
            answer(latency_sample="one", memory="first's", data="first's"),
            answer(latency_sample="two", data="second's"),
            answer(latency="all", data="third's"),
        ]
    )
    measured = isolation.measure(CELL)
    assert isolation.asked == [[], ["one"], ["one", "two"]]
    assert measured == {
        "status": "ok",
        "message": None,
        "work_seconds": 4.5,
        "memory": "first's",
        "data": "first's",
        "latency": "all",
    }


def test_one_process_is_asked_once() -> None:
    isolation = Answering([answer(latency="all")])
    assert isolation.measure(make_cell(TIMED)) == answer(latency="all")
    assert isolation.asked == [[]]


@pytest.mark.parametrize("status", ["timeout", "crashed", "oom"])
def test_a_failure_of_one_process_is_the_cells(status: str) -> None:
    isolation = Answering([answer(latency_sample="one"), {"status": status, "message": "why"}])
    assert isolation.measure(CELL) == {"status": status, "message": "process 2 of 3: why"}


def test_a_process_that_fails_and_says_how_long_it_worked_adds_to_the_others() -> None:
    isolation = Answering([answer(latency_sample="one"), answer(status="crashed", message="why")])
    assert isolation.measure(CELL)["work_seconds"] == 3.0


def test_a_crash_in_the_second_process_is_recorded_and_the_sweep_goes_on(tmp_path: Path) -> None:
    body = (
        f"marker = pathlib.Path({str(tmp_path / 'pid')!r})\n"
        "if not marker.exists(): marker.write_text(str(os.getpid()))\n"
        "if marker.read_text() != str(os.getpid()): os.kill(os.getpid(), signal.SIGKILL)"
    )
    plugins = write_plugin(tmp_path / "plugins", "second", {"dies-second": method_source(body)})
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED | {"method": ["dies-second", "bp"], "passes": ["latency"]})
    results = tmp_path / "results.jsonl"
    command = ["run", sweep, "--processes", "2", "--retries", "0", "--out", results]
    ended = run_bench(*command, cwd=tmp_path, environment=bench_environment(plugins))
    assert ended.returncode == 0, ended.stderr
    dead, alive = sound_records(results)
    assert dead.status == "crashed"
    assert str(dead.message).startswith("process 2 of 2: killed by signal 9")
    assert dead.latency is None
    assert alive.latency is not None
    assert len(alive.latency.blocks_by_process) == 2


def test_the_option_is_the_axis(cli: RunCli, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED)
    listed = cli("run", sweep, "--dry-run", "--processes", 3)
    assert listed.exit_code == 0
    assert listed.stdout == cli("run", sweep, "--dry-run", "--set", "processes=3").stdout
    assert listed.stdout == cli("run", sweep, "--dry-run", "--set", "processes=3", "--processes", 3).stdout
    assert listed.stdout != cli("run", sweep, "--dry-run").stdout


@pytest.mark.parametrize("values", ["2", "2,3"])
def test_the_option_and_the_axis_may_not_contradict_each_other(cli: RunCli, tmp_path: Path, values: str) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED)
    refused = cli("run", sweep, "--dry-run", "--set", f"processes={values}", "--processes", 3)
    assert refused.exit_code == 2
    assert f"--processes 3 and --set processes={values} differ" in refused.stderr


@pytest.mark.parametrize("processes", [0, -1])
def test_fewer_processes_than_one_are_refused(cli: RunCli, tmp_path: Path, processes: int) -> None:
    refused = cli("run", write_sweep(tmp_path / "sweep.toml", TIMED), "--dry-run", "--processes", processes)
    assert refused.exit_code == 2


def test_processes_mean_nothing_without_the_latency_pass(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path / "sweep.toml", TIMED | {"passes": ["memory"], "processes": [1, 4]})
    (cell,) = load_sweep(str(sweep)).cells
    assert cell.processes == 1
