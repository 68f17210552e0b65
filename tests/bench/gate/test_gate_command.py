"""``sid-bench gate``: what it measures and when, and how it ends. The measuring itself is replaced by made records."""

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import make_record
from typer.testing import CliRunner

import bench.execute.gate
from bench.cli.app import app
from bench.config.sweep import load_sweep
from bench.errors import BenchError
from bench.store.file import read_records
from bench.store.record import Record

CELLS = load_sweep("gate", only=["network=cascade-linear"]).cells
HERE = {"cpu": "a test's", "torch": "2.14.1"}


def record_of(cell: Any, seed: int, slower: float, environment: dict[str, Any], noisy: str | None = None) -> Record:
    generator = np.random.default_rng([seed, cell.seed, len(cell.method)])
    ratio = 1.2 * (slower if cell.method == "sid-streamed" else 1.0)
    shifts = ratio * np.exp(0.015 * generator.standard_normal(5))
    blocks = [[(0.01 * shift, 0.01, 0.01, 0.01 * shift)] * 4 for shift in shifts]
    latency = (ratio, 0.99 * ratio, 1.01 * ratio)
    return make_record(
        cell.model_dump(), 1000, latency, blocks=blocks, environment=environment, noisy_because=noisy, suite="gate"
    )


class Machine:
    """Stands for the measuring: notes what is measured, and writes records of steps that take a given time."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.measured: list[str] = []
        self.slower: dict[str, list[float]] = {"head": [1.0], "base": [1.0]}  # by measurement; the last one stays
        self.environment = HERE
        self.noisy: str | None = None

    def measure(self, code: Path, suite: str, results: Path, options: Sequence[str] = ()) -> None:
        only = [text for flag, text in zip(options[::2], options[1::2], strict=True) if flag == "--only"]
        side = "head" if code == self.top else "base"
        factors = self.slower[side]
        factor = factors.pop(0) if len(factors) > 1 else factors[0]
        self.measured.append(f"{side} {' '.join(only)}".strip())
        commit = git(self.top, "log", "-1", "--format=%H") if side == "head" else git(code, "rev-parse", "HEAD")
        cells = load_sweep(suite, only=[*only, "network=cascade-linear"]).cells
        results.parent.mkdir(parents=True, exist_ok=True)
        with results.open("a") as file:
            for cell in cells:
                where = self.environment | {"commit": commit}
                record = record_of(cell, len(self.measured), factor, where, self.noisy)
                file.write(record.line() + "\n")


def git(top: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(
        ["git", *identity, *arguments], cwd=top, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A repository with a baseline of another commit than the last one, and replaced measuring."""
    top = tmp_path / "top"
    suites = top / "bench" / "config" / "suites"
    suites.mkdir(parents=True)
    (suites / "gate.toml").write_text("")
    baseline = top / "results" / "gate" / "baseline.jsonl"
    baseline.parent.mkdir(parents=True)
    where = HERE | {"renewed_because": "it is a test"}
    baseline.write_text("".join(f"{record_of(cell, 0, 1.0, where).line()}\n" for cell in CELLS))
    git(top, "init", "--quiet", "--initial-branch=main")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=baseline")
    (top / "more").write_text("")
    git(top, "add", ".")
    git(top, "commit", "--quiet", "--message=more")
    made = Machine(top)
    monkeypatch.setattr(bench.execute.gate, "TOP", top)
    monkeypatch.setattr(bench.execute.gate, "BASELINE_FILE", baseline)
    monkeypatch.setattr(bench.execute.gate, "measure_code", made.measure)
    monkeypatch.chdir(tmp_path)
    return made


def gate(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["gate", *arguments], env={"COLUMNS": "300"})


IN_TURNS = ["base seed=0", "head seed=0", "head seed=1", "base seed=1"]


def test_unchanged_code_on_the_machine_of_the_baseline_is_measured_once(machine: Machine) -> None:
    ended = gate()
    assert ended.exit_code == 0, ended.output
    assert machine.measured == ["head"]
    assert "The gate passed" in ended.stdout
    assert "it is a test" in ended.stdout


def test_an_alarm_of_times_is_measured_again_beside_the_code_before(machine: Machine) -> None:
    machine.slower["head"] = [1.12]
    ended = gate("--markdown", "comment.md")
    assert ended.exit_code == 1
    assert machine.measured == ["head", *IN_TURNS]
    assert "sid-streamed, cascade-linear" in ended.stdout
    assert "1 of 1 alarms of times were confirmed" in ended.stderr
    assert "| step time | worse | +1" in Path("comment.md").read_text()


@pytest.mark.parametrize("place", ["a-file/comment.md", "a-folder", "/dev/full"])
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_file_that_cannot_be_written_hides_no_alarm(machine: Machine, place: str, form: list[str]) -> None:
    Path("a-file").touch()
    Path("a-folder").mkdir()
    machine.slower["head"] = [1.12]
    ended = gate("--markdown", place, *form)
    assert ended.exit_code == 2
    assert f"cannot write {place}" in ended.stderr.replace("\n", "")
    if form:
        assert [alarm["quantity"] for alarm in json.loads(ended.stdout)["alarms"]] == ["step_time"]
    else:
        assert "The gate failed" in ended.stdout
        assert "sid-streamed, cascade-linear" in ended.stdout


def test_an_alarm_that_the_second_measurement_does_not_have_is_none(machine: Machine) -> None:
    machine.slower["head"] = [1.12, 1.0]
    ended = gate()
    assert ended.exit_code == 0, ended.output
    assert "0 of 1 alarms of times were confirmed" in ended.stderr


def test_an_alarm_stands_where_the_code_before_cannot_be_measured(machine: Machine) -> None:
    machine.slower["head"] = [1.12]
    with (machine.top / "results" / "gate" / "baseline.jsonl").open("a") as file:
        file.write("\n")
    ended = gate()
    assert ended.exit_code == 1
    assert machine.measured == ["head"]
    assert "could not be measured here: results/gate/baseline.jsonl is not committed as it is" in ended.stderr


def test_on_another_machine_the_code_of_the_baseline_is_measured(machine: Machine) -> None:
    machine.environment = HERE | {"cpu": "another one"}
    assert gate().exit_code == 0
    assert machine.measured == ["head", *IN_TURNS]
    machine.slower = {"head": [1.12], "base": [1.12]}  # slower for both: the machine's doing
    assert gate().exit_code == 0
    machine.slower = {"head": [1.12], "base": [1.0]}
    ended = gate()
    assert ended.exit_code == 1
    assert "sid-streamed" in ended.stdout


def test_with_a_base_both_are_measured_in_turns(machine: Machine) -> None:
    machine.slower["head"] = [1.12]
    ended = gate("--base", "HEAD", "--json")
    assert ended.exit_code == 1
    assert machine.measured == IN_TURNS
    found = json.loads(ended.stdout)
    assert not found["is_open"]
    assert [alarm["quantity"] for alarm in found["alarms"]] == ["step_time"]


def test_a_baseline_that_was_renewed_since_the_base_is_compared_with(machine: Machine) -> None:
    old = git(machine.top, "rev-parse", "HEAD")
    baseline = machine.top / "results" / "gate" / "baseline.jsonl"
    baseline.write_text(baseline.read_text().replace("it is a test", "it was renewed"))
    git(machine.top, "commit", "--quiet", "--all", "--message=renewed")
    renewal = git(machine.top, "rev-parse", "HEAD")
    (machine.top / "more").write_text("still more")
    git(machine.top, "commit", "--quiet", "--all", "--message=more")
    assert f"measuring {renewal[:12]}" in gate("--base", old).stderr
    newest = git(machine.top, "rev-parse", "HEAD")
    assert f"measuring {newest[:12]}" in gate("--base", newest).stderr


def test_some_cells_can_be_chosen(machine: Machine) -> None:
    ended = gate("--only", "method=sid-streamed", "--json")
    assert ended.exit_code == 0
    assert machine.measured == ["head method=sid-streamed"]
    cells = {change["cell"].partition(",")[0] for change in json.loads(ended.stdout)["changes"]}
    assert cells == {"sid-streamed"}


def test_the_baseline_is_renewed_with_the_reason_in_the_file(machine: Machine) -> None:
    baseline = machine.top / "results" / "gate" / "baseline.jsonl"
    ended = gate("--renew", "SID's stack holds beliefs")
    assert ended.exit_code == 0, ended.output
    records = read_records(baseline).latest.values()
    assert {record.environment["renewed_because"] for record in records} == {"SID's stack holds beliefs"}
    assert len(records) == len(CELLS)
    git(machine.top, "commit", "--quiet", "--all", "--message=renewed")
    assert "SID's stack holds beliefs" in gate().stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--renew", ""], "renewed for the reason ''; legal: a few words"),
        (["--renew", "because"], "legal: a few words that say why"),
        (["--renew", "a good reason", "--bytes-only"], "--bytes-only with --renew"),
        (["--base", "nowhere"], "git rev-parse of 'nowhere'"),
        (["--baseline", "gone.jsonl"], "cannot read gone.jsonl"),
        (["--baseline", "empty.jsonl"], "empty.jsonl has no record; legal: a baseline"),
        (["--baseline", "empty.jsonl", "--base", "HEAD"], "empty.jsonl has no record; legal: a baseline"),
        (["--out", "full"], "--out full holds something; legal: a new folder"),
        (["--only", "method=nothing"], "nothing"),
    ],
)
def test_bad_input_is_refused_before_anything_is_measured(
    machine: Machine, arguments: list[str], complaint: str
) -> None:
    before = (machine.top / "results" / "gate" / "baseline.jsonl").read_bytes()
    Path("empty.jsonl").touch()
    Path("full").mkdir()
    (Path("full") / "of").write_text("something")
    ended = gate(*arguments)
    assert ended.exit_code == 2, ended.output
    assert complaint in " ".join(ended.stderr.split())
    assert machine.measured == []
    assert (machine.top / "results" / "gate" / "baseline.jsonl").read_bytes() == before


@pytest.mark.parametrize("arguments", [[], ["--base", "HEAD"], ["--bytes-only"]])
def test_a_baseline_with_a_cut_last_line_is_refused(machine: Machine, arguments: list[str]) -> None:
    baseline = machine.top / "results" / "gate" / "baseline.jsonl"
    lines = baseline.read_bytes().count(b"\n")
    baseline.write_bytes(baseline.read_bytes()[:-40])
    ended = gate(*arguments)
    assert ended.exit_code == 2, ended.output
    assert f"line {lines} of {baseline}, the last one" in " ".join(ended.stderr.split())
    assert "is incomplete, so its cell would not be judged" in " ".join(ended.stderr.split())
    assert machine.measured == []


def test_a_noisy_measurement_renews_nothing(machine: Machine) -> None:
    before = (machine.top / "results" / "gate" / "baseline.jsonl").read_bytes()
    machine.noisy = "it drifted"
    ended = gate("--renew", "a good reason")
    assert ended.exit_code == 2
    assert "is not renewed: bp, cascade-linear: it drifted" in " ".join(ended.stderr.split())
    assert (machine.top / "results" / "gate" / "baseline.jsonl").read_bytes() == before


@pytest.fixture
def wrong_code(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def measure(code: Path, *arguments: Any) -> None:
        del code
        machine.measure(machine.top, *arguments)

    monkeypatch.setattr(bench.execute.gate, "measure_code", measure)
    return measure


@pytest.mark.usefixtures("wrong_code")
def test_a_base_that_was_not_really_measured_is_an_error() -> None:
    ended = gate("--base", "HEAD~1")
    assert ended.exit_code == 2
    assert "was measured in place of" in ended.stderr


def test_the_reason_why_code_cannot_be_measured_is_told(tmp_path: Path) -> None:
    from bench.execute.code import measure_code

    with pytest.raises(BenchError, match=r"suite nothing cannot be measured .*unknown suite 'nothing'"):
        measure_code(Path(bench.execute.gate.__file__).parents[2], "nothing", tmp_path / "x.jsonl")
