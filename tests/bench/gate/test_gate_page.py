"""The page on the gate: its commands that are no sid-bench command, and its tables of the committed runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from gate_runs import EXPECTED, FIGURE, FOLDER, PAGE, drawn, read, with_sections

from bench.config.sweep import load_sweep
from bench.store.file import read_records

ROOT = Path(__file__).parents[3]
LINES = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for line in block.replace("\\\n", "").splitlines()
]


@pytest.mark.parametrize("words", [words for words in LINES if words[0] == "make"], ids=" ".join)
def test_its_targets_call_the_command(words: list[str], tmp_path: Path) -> None:
    stand_in = tmp_path / "sid-bench"
    stand_in.write_text('#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n')
    stand_in.chmod(0o755)
    ended = subprocess.run(
        ["make", "--silent", "--old-file=.venv/installed", *words[1:], f"BIN={tmp_path}"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in ("BASE", "REASON", "MARKDOWN")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    given = dict(word.split("=", 1) for word in words[2:])
    expected = ["gate", *(["--base", given["BASE"]] if "BASE" in given else [])]
    expected += ["--renew", given["REASON"]] if "REASON" in given else []
    assert ended.stdout.splitlines() == [f"<{word}>" for word in expected]


@pytest.mark.parametrize("words", [words for words in LINES if "pytest" in words], ids=" ".join)
@pytest.mark.long
def test_its_commands_of_pytest_are_legal(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, *words[1:], "--collect-only", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "test_step[cascade-linear-sid-streamed]" in ended.stdout


def test_every_line_is_a_command_that_a_test_runs() -> None:
    assert {words[0] for words in LINES} == {"make", "sid-bench", ".venv/bin/python"}


def test_its_tables_are_those_of_the_committed_runs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_sections(page) == page


@pytest.mark.parametrize("run", read("clean-runs"), ids=lambda run: str(run["run"]))
def test_no_committed_run_of_unchanged_code_raised_an_alarm(run: dict[str, object]) -> None:
    assert run["is_open"]
    assert run["unjudged"] == {}


@pytest.mark.parametrize("run", read("planted-runs"), ids=lambda run: str(run["run"]))
def test_each_committed_planted_fault_was_found_by_the_name_of_its_cell(run: dict[str, object]) -> None:
    alarms = run["alarms"]
    assert isinstance(alarms, list)
    assert alarms
    assert all(alarm["cell"].startswith(EXPECTED[str(run["run"])]) for alarm in alarms)


def test_the_figure_is_drawn_from_the_committed_records() -> None:
    assert (FOLDER / "planted.jsonl").exists() == FIGURE.exists()
    assert not FIGURE.exists() or FIGURE.read_text(encoding="utf-8") == drawn()


def test_the_committed_baseline_covers_the_suite_and_has_a_reason() -> None:
    records = read_records(FOLDER / "baseline.jsonl").latest
    assert records.keys() == {cell.id for cell in load_sweep("gate").cells}
    assert {record.status for record in records.values()} == {"ok"}
    (reason,) = {record.environment["renewed_because"] for record in records.values()}
    assert len(reason.split()) > 1
