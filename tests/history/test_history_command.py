"""``python -m bench.asv``: options, and what asv is told about the machine."""

import json
import sys
from pathlib import Path

import pytest
from asv.machine import Machine

from bench.asv.__main__ import main
from bench.asv.machine import make_known

ROOT = Path(__file__).parents[2]


def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs the command, which must end with the code of bad input; returns what it says of that."""
    monkeypatch.setattr(sys, "argv", ["bench.asv", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "all", ""])
def test_a_number_of_commits_is_an_integer_of_1_or_more(
    count: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(monkeypatch, capsys, f"--last={count}")
    assert f"argument --last: {count!r}; legal: an integer of 1 or more" in said


@pytest.mark.parametrize("pattern", ["[", "memory(", "*"])
def test_a_bad_regular_expression_is_refused_before_anything_else(
    pattern: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # without a configuration, which would be missed next
    said = refused(monkeypatch, capsys, f"--bench={pattern}")
    assert f"argument --bench: {pattern!r}, " in said
    assert "at position" in said
    assert "legal: a regular expression, such as memory" in said


def test_a_missing_list_and_a_missing_configuration_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, message in ((ROOT, "error: missing.txt cannot be read"), (tmp_path, "asv.conf.json")):
        monkeypatch.chdir(folder)
        assert message in refused(monkeypatch, capsys, "--commits=missing.txt")


@pytest.mark.parametrize("name", ["", "no-such-tag", "--all"])
def test_one_more_commit_has_to_exist(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    said = refused(monkeypatch, capsys, f"--also={name}", "--last=1")
    assert f"error: --also: {name!r} is no commit of this repository; legal: a hash, a tag or HEAD" in said


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which asv keeps machines, which does not exist yet."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / ".asv-machine.json"


def test_a_new_machine_is_described_as_it_is(known: Path, tmp_path: Path) -> None:
    known.write_text(json.dumps({"reference": {"machine": "reference"}, "version": 1}))
    make_known("mine", tmp_path)
    stored = json.loads(known.read_text())
    assert stored["mine"] == {**Machine.get_defaults(), "machine": "mine"}
    assert stored["reference"] == {"machine": "reference"}


def test_a_machine_with_results_is_described_as_in_them(known: Path) -> None:
    results = ROOT / "results" / "asv"
    make_known("reference", results)
    described = json.loads((results / "reference" / "machine.json").read_text())
    del described["version"]
    assert json.loads(known.read_text())["reference"] == described


def test_a_known_machine_stays_as_it_is(known: Path, tmp_path: Path) -> None:
    text = json.dumps({"mine": {"machine": "mine", "ram": "1GB"}, "version": 1})
    known.write_text(text)
    make_known("mine", tmp_path)
    assert known.read_text() == text
