"""A latency in several fresh processes: which passes each runs, the samples that travel, and the failure of one."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from harness_tools import TINY, RunCli, sound_records, write_sweep
from record_builder import make_record

from bench.config.cell import Cell, Pass
from bench.config.check import make_cell
from bench.config.sweep import load_sweep
from bench.execute.fork_executor import ForkServerExecutor
from bench.execute.messages import Answer
from bench.execute.processes import measure_in_processes
from bench.execute.run import measure_cell
from bench.measure.latency.sample import Sample

TIMED = TINY | {"method": "bp", "dataset": "random", "depth": 1, "passes": ["memory", "latency"]}


def test_a_latency_in_three_processes_keeps_the_blocks_of_all(executor: ForkServerExecutor) -> None:
    record = measure_cell(make_cell(TIMED | {"processes": 3}), "suite", executor.measure)
    assert (record.status, record.message) == ("ok", None)
    assert record.memory is not None
    assert record.latency is not None
    assert len(record.latency.blocks_by_process) == 3
    assert sum(record.latency.blocks_by_process) == len(record.latency.blocks_seconds)
    assert min(record.latency.blocks_by_process) >= 10
    assert record.trace is not None
    assert record.timing is not None


class Processes:
    """The processes of a cell: each answers with the next of ``answers``; ``given`` keeps what they were asked."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = iter(answers)
        self.given: list[tuple[tuple[Pass, ...], list[Sample]]] = []

    def run(self, passes: Sequence[Pass], samples: Sequence[Sample]) -> Answer:
        self.given.append((tuple(passes), list(samples)))
        return next(self._answers)


ONE, TWO = (Sample(blocks_seconds=[(1.0, 1.0, 1.0, 1.0)], loops=loops, warm_up_steps=8) for loops in (1, 2))
MEASURED = make_record({"method": "bp", "depth": 1}, memory=1000, latency=(1.0, 0.9, 1.1), accuracy=0.5)


def sampled(sample: Sample) -> Answer:
    return Answer(status="ok", work_seconds=1.5, latency_sample=sample)


def cell_of(processes: int = 3, *passes: Pass) -> Cell:
    data = {"dataset": "digits"} if "accuracy" in passes else {}
    return make_cell(TIMED | data | {"processes": processes, "passes": list(passes or ("latency",))})


def test_passes_that_are_not_timed_run_first_and_each_timed_process_gets_the_samples_of_the_earlier_ones() -> None:
    first = Answer(
        status="ok",
        work_seconds=1.5,
        memory=MEASURED.memory,
        accuracy=MEASURED.accuracy,
        parameters=3,
        environment={"threads": 1},
    )
    last = Answer(status="ok", work_seconds=1.5, latency=MEASURED.latency, parameters=4, environment={"threads": 2})
    processes = Processes(first, sampled(ONE), sampled(TWO), last)
    measured = measure_in_processes(cell_of(3, "memory", "latency", "accuracy"), processes.run)
    timed: tuple[Pass, ...] = ("latency",)
    assert processes.given == [(("memory", "accuracy"), []), (timed, []), (timed, [ONE]), (timed, [ONE, TWO])]
    assert measured == Answer(
        status="ok",
        work_seconds=6.0,
        memory=MEASURED.memory,
        accuracy=MEASURED.accuracy,
        latency=MEASURED.latency,
        parameters=3,
        environment={"threads": 1},
    )


@pytest.mark.parametrize("passes", [("memory",), ("latency",), ("memory", "accuracy")])
def test_one_process_is_enough_where_nothing_or_nothing_else_is_timed(passes: tuple[Pass, ...]) -> None:
    answer = Answer(status="ok", work_seconds=1.5, memory=MEASURED.memory, latency=MEASURED.latency)
    processes = Processes(answer)
    assert measure_in_processes(cell_of(1, *passes), processes.run) == answer
    assert processes.given == [(passes, [])]


@pytest.mark.parametrize("status", ["timeout", "crashed", "oom"])
def test_the_failure_of_one_process_is_the_cells(status: str) -> None:
    failed = Answer.model_validate({"status": status, "message": "why"})
    processes = Processes(sampled(ONE), failed)
    measured = measure_in_processes(cell_of(3), processes.run)
    assert (measured.status, measured.message, measured.work_seconds) == (status, "process 2 of 3: why", None)
    assert measure_in_processes(cell_of(1), Processes(failed).run) == failed


def test_a_process_that_fails_and_says_how_long_it_worked_adds_to_the_work_of_the_others() -> None:
    processes = Processes(sampled(ONE), Answer(status="crashed", message="why", work_seconds=2.0))
    assert measure_in_processes(cell_of(3), processes.run).work_seconds == 3.5


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
