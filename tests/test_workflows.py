"""The workflows call what there is, and their tokens may do no more than they need."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from bench.cli.app import app

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
WRITES = {
    "gate-comment.yml": {"pull-requests"},
    "nightly.yml": {"pages", "id-token"},
}

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def load(file: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in load(file)["jobs"].values() for step in job["steps"]]


def commands(file: Path) -> list[list[str]]:
    lines = "\n".join(step["run"] for step in steps(file) if "run" in step).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_there_are_the_four_workflows() -> None:
    assert {file.name for file in FILES} == {"test.yml", "gate.yml", "gate-comment.yml", "nightly.yml"}


@each_file
def test_its_commands_are_targets_and_commands_that_there_are(file: Path) -> None:
    known = {command.name for command in typer.main.get_command(app).commands.values()}  # type: ignore[attr-defined]
    for words in commands(file):
        if words[0] == "make":
            assert words[1] in TARGETS, words
        if words[0].endswith("sid-bench"):
            assert words[1] in known, words


@each_file
def test_its_token_may_do_what_it_needs_and_no_more(file: Path) -> None:
    workflow = load(file)
    granted = [workflow["permissions"], *(job.get("permissions", {}) for job in workflow["jobs"].values())]
    assert {name for part in granted for name, right in part.items() if right == "write"} == WRITES.get(
        file.name, set()
    )
    events = workflow[True]  # YAML 1.1 reads the key "on" as true
    assert "pull_request_target" not in events
    if "workflow_run" in events:  # it has a token that writes, so it runs no code that a pull request brings
        assert not any("checkout" in step.get("uses", "") for step in steps(file))
        assert not commands(file)


@each_file
def test_every_action_has_a_version_and_every_job_a_limit(file: Path) -> None:
    for step in steps(file):
        assert "run" in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
    assert all(job["timeout-minutes"] <= 120 for job in load(file)["jobs"].values())


def test_the_comment_is_made_of_what_the_gate_leaves() -> None:
    gate, comment = (load(ROOT / ".github" / "workflows" / f"{name}.yml") for name in ("gate", "gate-comment"))
    left = {step["with"]["name"] for step in gate["jobs"]["gate"]["steps"] if "upload-artifact" in step.get("uses", "")}
    (taken,) = (
        step["with"]["name"] for step in comment["jobs"]["comment"]["steps"] if "download" in step.get("uses", "")
    )
    assert taken in left
    assert comment[True]["workflow_run"]["workflows"] == [gate["name"]]


def test_the_newest_commit_is_measured_every_night_and_what_is_stored_of_others_is_kept() -> None:
    file = ROOT / ".github" / "workflows" / "nightly.yml"
    (history,) = (words[2:] for words in commands(file) if words[:2] == ["make", "history"])
    given = dict(word.split("=") for word in history)
    assert given["ALSO"] == "HEAD"
    (kept,) = (step["with"]["path"] for step in steps(file) if "actions/cache@" in step.get("uses", ""))
    assert kept == f"results/asv/{given['MACHINE']}"  # not the list, which a later commit may extend


def test_the_tests_run_on_each_python_that_is_supported() -> None:
    versions = load(ROOT / ".github" / "workflows" / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
