"""``repeat``: runs of a suite's latency, resumed where they were stopped, and their comparison."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from harness_tools import (
    TINY,
    Launcher,
    Script,
    count_lines,
    crash,
    kill,
    sound_records,
    wait_until,
    write_records,
    write_sweep,
)
from record_builder import make_record

from bench.config.cell import Cell
from bench.execute.messages import Answer
from bench.store.sample import Sample

ONE = {"method": "sid-streamed", "dataset": "random", "passes": ["memory", "latency"], "latency_seconds": 0.01}
LATENCY = TINY | {"dataset": "random", "passes": ["latency"]}


def latency_of(ratio: float) -> Answer:
    own = [0.01 * ratio * shift for shift in (0.95, 1.0, 1.0, 1.05, 1.0)] * 4
    sample = Sample(blocks_seconds=[(seconds, 0.01, 0.01, seconds) for seconds in own], loops=1, warm_up_steps=4)
    return Answer(status="ok", work_seconds=0.0, latency_sample=sample)


@pytest.fixture
def timing(script: Script) -> list[Cell]:
    """The cells that were measured; each run is slower than the one before."""
    measured: list[Cell] = []

    def measure(cell: Cell) -> Answer:
        measured.append(cell)
        return latency_of(1 + len(measured) / 100)

    script(measure)
    return measured


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """One cell with memory and latency, and one with memory alone."""
    return write_sweep(tmp_path / "suite.toml", ONE, ONE | {"method": "bp", "passes": ["memory"]})


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_two_real_runs_are_measured_once_and_compared(tmp_path: Path, suite: Path, measuring_cli: RunCli) -> None:
    folder = tmp_path / "runs"
    ended = measuring_cli("repeat", suite, "--times", 2, "--out", folder)
    assert ended.exit_code == 0, ended.stderr
    assert sorted(contents(folder)) == ["1.jsonl", "2.jsonl", "summary.json", "summary.md"]
    first, second = (sound_records(folder / f"{number}.jsonl") for number in (1, 2))
    for (record,) in (first, second):
        assert (record.status, record.cell.method, record.cell.passes) == ("ok", "sid-streamed", ("latency",))
        assert record.memory is None
        assert record.latency is not None
    assert first[0].id == second[0].id
    assert first[0].latency != second[0].latency
    assert "run 2 of 2: 1 cell measured, 1 ok, 0 stored before" in ended.stdout
    assert "2 runs, 1 cell in two or more of them, 2 latencies" in ended.stdout
    assert re.search(r"^pairs of runs .* 1 *$", ended.stdout, re.MULTILINE)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["every"]["pairs"] == 1
    assert summary["cells"][0]["ratios"] == [
        record.latency.ratio_to_bp for (record,) in (first, second) if record.latency
    ]

    before = contents(folder)
    again = measuring_cli("repeat", suite, "--times", 2, "--out", folder)
    assert again.exit_code == 0
    assert again.stdout.count("0 cells measured, 1 stored before") == 2
    assert contents(folder) == before


def test_more_runs_add_to_those_that_are_there(tmp_path: Path, suite: Path, cli: RunCli, timing: list[Cell]) -> None:
    for times, measured in ((2, 2), (4, 4), (3, 4)):
        ended = cli("repeat", suite, "--times", times, "--out", tmp_path / "runs")
        assert ended.exit_code == 0
        assert len(timing) == measured
        assert f"{times} runs, 1 cell" in ended.stdout


def test_runs_go_to_a_folder_named_after_the_suite(
    tmp_path: Path, suite: Path, cli: RunCli, timing: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("repeat", suite, "--times", 2).exit_code == 0
    assert len(contents(Path("results/repeat/suite"))) == 4
    assert len(timing) == 2


def test_cells_of_another_command_in_the_files_are_left_out(
    tmp_path: Path, suite: Path, cli: RunCli, timing: list[Cell]
) -> None:
    arguments = ("repeat", suite, "--times", 2, "--out", tmp_path / "runs", "--set")
    cli(*arguments, "depth=4")
    assert "2 runs, 1 cell" in cli(*arguments, "depth=2").stdout
    assert "2 runs, 2 cells" in cli(*arguments, "depth=2,4").stdout
    assert len(timing) == 4


def test_json_stands_alone_on_standard_output(tmp_path: Path, suite: Path, cli: RunCli, timing: list[Cell]) -> None:
    ended = cli("repeat", suite, "--times", 2, "--out", tmp_path / "runs", "--json")
    assert json.loads(ended.stdout) == json.loads((tmp_path / "runs" / "summary.json").read_text())
    assert "run 2 of 2: 1 cell measured" in ended.stderr
    assert len(timing) == 2


def test_dry_run_lists_the_cells_with_their_only_pass(tmp_path: Path, suite: Path, cli: RunCli) -> None:
    ended = cli("repeat", suite, "--out", tmp_path / "runs", "--dry-run")
    assert re.fullmatch(r"\w{16} sid-streamed .*\(latency\)\n1 cell\n", ended.stdout)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("failing", "options", "code"),
    [((1, 2), (), 1), ((3, 4), (), 1), ((2,), (), 0), ((2,), ("--strict",), 1), ((), ("--strict",), 0)],
)
def test_the_code_says_whether_cells_are_ok(
    tmp_path: Path, suite: Path, cli: RunCli, script: Script, failing: tuple[int, ...], options: tuple[str], code: int
) -> None:
    asked: list[Cell] = []

    def measure(cell: Cell) -> Answer:
        asked.append(cell)
        return crash(final=True) if len(asked) in failing else latency_of(1.0)

    script(measure)
    arguments = ("repeat", suite, "--set", "depth=2,4", "--times", 2, "--out", tmp_path / "runs", *options)
    ended = cli(*arguments)
    assert ended.exit_code == code
    assert ("cells ok" in ended.stderr) == (code == 1)
    assert (tmp_path / "runs" / "summary.json").exists() == (len(failing) < 2)


def runs_of(folder: Path, *ratios: float) -> list[Path]:
    """A results file for each of ``ratios``."""
    files = []
    for number, ratio in enumerate(ratios):
        files.append(folder / f"run {number}.jsonl")
        write_records(files[-1], [make_record(LATENCY, latency=(ratio, 0.99 * ratio, 1.01 * ratio))])
    return files


def test_existing_runs_are_compared_without_measuring(tmp_path: Path, cli: RunCli, timing: list[Cell]) -> None:
    files = runs_of(tmp_path, 1.0, 1.001, 2.0)
    ended = cli("repeat", "--from", *files)
    assert ended.exit_code == 0
    assert "3 runs, 1 cell in two or more of them, 3 latencies" in ended.stdout
    assert "2 of 3" in ended.stdout
    assert timing == []
    assert sorted(file.name for file in tmp_path.iterdir()) == [file.name for file in files]
    written = cli("repeat", "--from", *files, "--out", tmp_path / "summary", "--json")
    assert json.loads(written.stdout)["every"]["beyond"] == pytest.approx(2 / 3)
    assert sorted(contents(tmp_path / "summary")) == ["summary.json", "summary.md"]


def test_a_run_whose_last_line_is_cut_is_told(tmp_path: Path, cli: RunCli) -> None:
    files = runs_of(tmp_path, 1.0, 1.001, 1.002)
    other = make_record({**LATENCY, "depth": 6}, latency=(1.0, 0.9, 1.1)).line()
    files[1].write_text(f"{files[1].read_text()}{other[:-40]}")
    ended = cli("repeat", "--from", *files)
    assert ended.exit_code == 0
    assert f"warning: Line 2 of {files[1]}, the last one, is incomplete and was left out." in ended.stderr


Refused = Callable[[Path, Path], list[Any]]
REFUSED: dict[str, tuple[Refused, str]] = {
    "no latency": (lambda suite, _: [suite, "--set", "passes=memory"], "no cell of suite has the latency pass"),
    "two suites": (lambda suite, _: [suite, "smoke"], "2 suites: "),
    "unknown suite": (lambda *_: ["smok"], "did you mean smoke?"),
    "once": (lambda suite, _: [suite, "--times", 1], "greater than or equal to 2"),
    "from nothing": (lambda *_: ["--from"], "0 results files after --from; legal: two or more"),
    "from one": (lambda _, folder: ["--from", *runs_of(folder, 1.0)], "1 results file after --from"),
    "from nowhere": (lambda _, folder: ["--from", folder / "a", folder / "b"], "cannot read"),
    "from no records": (lambda suite, _: ["--from", suite, suite], "is damaged"),
    "from one twice": (lambda _, folder: ["--from", *2 * runs_of(folder, 1.0)], "is given twice"),
    "set with from": (
        lambda _, folder: ["--from", *runs_of(folder, 1.0, 1.1), "--set", "depth=4"],
        "--set with --from, which measures nothing; legal with it: --out, --json",
    ),
    "times with from": (lambda _, folder: ["--from", *runs_of(folder, 1.0, 1.1), "--times", 7], "--times with --from"),
    "a file as the folder of a comparison": (
        lambda suite, folder: ["--from", *runs_of(folder, 1.0, 1.1), "--out", suite],
        "suite.toml is not a folder",
    ),
    "a file as the folder": (lambda suite, _: [suite, "--out", suite], "suite.toml is not a folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_runs(
    tmp_path: Path, suite: Path, cli: RunCli, timing: list[Cell], case: str
) -> None:
    make, message = REFUSED[case]
    ended = cli("repeat", *make(suite, tmp_path))
    assert ended.exit_code == 2
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", ended.stderr).split())
    assert timing == []
    assert suite.read_text().startswith("[[grid]]")


def test_a_results_file_is_no_summary(tmp_path: Path, cli: RunCli) -> None:
    files = runs_of(tmp_path, 1.0, 1.1)
    taken = tmp_path / "summary.json"
    os.link(files[0], taken)
    ended = cli("repeat", "--from", *files, "--out", tmp_path)
    assert ended.exit_code == 2
    assert "would replace the input" in ended.stderr
    assert sound_records(files[0])


def test_ctrl_c_ends_the_repetition_and_says_how_to_go_on(
    tmp_path: Path, suite: Path, cli: RunCli, script: Script
) -> None:
    asked: list[Cell] = []

    def measure(cell: Cell) -> Answer:
        asked.append(cell)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return latency_of(1.0)

    script(measure)
    folder = tmp_path / "runs"
    arguments = ("repeat", suite, "--set", "depth=2,4", "--times", 2, "--out", folder)
    ended = cli(*arguments)
    assert ended.exit_code == 130
    assert ended.stderr == f"interrupted; every finished cell is in {folder}, and the same command goes on from there\n"
    assert sorted(contents(folder)) == ["1.jsonl"]
    assert "run 2 of 2: 2 cells measured" in cli(*arguments).stdout


@pytest.mark.long
def test_a_killed_repetition_goes_on_where_it_stopped(
    tmp_path: Path, launcher: Launcher, measuring_cli: RunCli
) -> None:
    sweep = write_sweep(tmp_path / "suite.toml", ONE | {"seed": [0, 1]})
    folder = tmp_path / "runs"
    arguments = ("repeat", sweep, "--times", 2, "--out", folder)
    run = launcher.start(*arguments, cwd=tmp_path)
    assert wait_until(lambda: run.poll() is not None or count_lines(folder / "1.jsonl") == 1)
    kill(run.pid)
    _, errors = run.communicate()
    assert run.returncode == -signal.SIGKILL, errors
    launcher.assert_none_survives()
    before = contents(folder)
    assert sorted(before) == ["1.jsonl"]

    ended = measuring_cli(*arguments)
    assert ended.exit_code == 0
    assert "run 1 of 2: 1 cell measured, 1 ok, 1 stored before" in ended.stdout
    assert "run 2 of 2: 2 cells measured, 2 ok, 0 stored before" in ended.stdout
    assert contents(folder)["1.jsonl"].startswith(before["1.jsonl"])
    assert [len(sound_records(folder / f"{number}.jsonl")) for number in (1, 2)] == [2, 2]
