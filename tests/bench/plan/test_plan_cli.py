"""``sid-bench plan``: table, CSV, budget, figure and errors."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer.main
from typer.testing import CliRunner

import bench.cli.app
from bench.config.check import make_cell
from bench.measure.memory.predict import predict_memory
from bench.store.measurements.memory import Memory

GRID: dict[str, Any] = {
    "method": ["bp", "sid-streamed"],
    "dataset": "digits",
    "depth": [2, 4],
    "modules": "depth",
    "width": 8,
    "hidden": 8,
    "batch_size": [8, 32],
    "seed": [0, 1],
    "passes": ["accuracy"],
}


def plan(*arguments: object) -> Any:
    return CliRunner().invoke(bench.cli.app.app, ["plan", *map(str, arguments)])


def write_suite(folder: Path, **axes: Any) -> Path:
    path = folder / "grid.toml"
    lines = [f"{axis} = {json.dumps(value)}" for axis, value in (GRID | axes).items()]
    path.write_text("[[grid]]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Two methods, two depths, two batch sizes, and two seeds and the accuracy pass, on which bytes do not depend."""
    return write_suite(tmp_path)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bytes_of(row: dict[str, str], **changes: int) -> Memory:
    axes: dict[str, Any] = {name: int(row[name]) for name in ("depth", "modules", "width", "hidden")}
    axes |= {"method": row["method"], "batch_size": int(row.get("batch_size", 1)), "passes": ["memory"]} | changes
    return predict_memory(make_cell(axes), (1, 8, 8), 10)


@pytest.mark.long
def test_each_distinct_cell_has_a_row_with_its_bytes(suite: Path, tmp_path: Path) -> None:
    ended = plan(suite, "--out", tmp_path / "new" / "plan.csv")
    assert ended.exit_code == 0, ended.output
    rows = read(tmp_path / "new" / "plan.csv")
    assert len(rows) == 8
    for row in rows:
        memory, baseline = bytes_of(row), bytes_of(row | {"method": "bp"})
        for name, size in memory.model_dump(exclude_none=True).items():
            if name.endswith("_bytes"):
                assert int(row[name]) == size
        assert float(row["activation_ratio_to_bp"]) == memory.peak_activation_bytes / baseline.peak_activation_bytes
        assert float(row["total_ratio_to_bp"]) == memory.peak_total_bytes / baseline.peak_total_bytes
        line = f"{memory.peak_activation_bytes:,}"
        assert line in ended.stdout
        assert f"{memory.peak_total_bytes:,}" in ended.stdout
    assert "seed" not in rows[0]
    assert "accuracy" not in ended.stdout


def test_ratios_to_bp_need_no_bp_in_the_suite_and_do_not_depend_on_jobs(suite: Path, tmp_path: Path) -> None:
    for jobs in (1, 2):
        assert plan(suite, "--jobs", jobs, "--out", tmp_path / f"{jobs}.csv").exit_code == 0
    assert plan(suite, "--set", "method=sid-streamed", "--out", tmp_path / "alone.csv").exit_code == 0
    both = read(tmp_path / "1.csv")
    assert read(tmp_path / "2.csv") == both
    assert read(tmp_path / "alone.csv") == [row for row in both if row["method"] == "sid-streamed"]


@pytest.mark.long
def test_storages_are_rounded_up(suite: Path, tmp_path: Path) -> None:
    for round_to in (1, 512):
        assert plan(suite, "--round-to", round_to, "--out", tmp_path / f"{round_to}.csv").exit_code == 0
    for exact, rounded in zip(read(tmp_path / "1.csv"), read(tmp_path / "512.csv"), strict=True):
        for name in exact:
            if name.endswith("_bytes"):
                assert int(rounded[name]) % 512 == 0
                assert int(rounded[name]) >= int(exact[name])
        assert int(rounded["peak_total_bytes"]) > int(exact["peak_total_bytes"])


def test_the_largest_batch_fits_the_budget_and_one_more_sample_does_not(suite: Path, tmp_path: Path) -> None:
    budget = 3_000_000
    ended = plan(suite, "--budget", "3MB", "--out", tmp_path / "plan.csv")
    assert ended.exit_code == 0, ended.output
    rows = read(tmp_path / "plan.csv")
    assert len(rows) == 4, "batch sizes of the suite are not read"
    for row in rows:
        batch = int(row["largest_batch"])
        fits, next_one = (bytes_of(row, batch_size=size).peak_total_bytes for size in (batch, batch + 1))
        assert fits <= budget < next_one
        assert (int(row["peak_total_bytes"]), int(row["next_peak_total_bytes"])) == (fits, next_one)
        assert f"{batch:,}" in ended.stdout


@pytest.mark.parametrize(("budget", "answer"), [("1kB", "none"), ("900TB", "> 16777216")])
@pytest.mark.long
def test_budgets_that_are_too_small_or_above_the_limit(suite: Path, tmp_path: Path, budget: str, answer: str) -> None:
    ended = plan(suite, "--set", "depth=2", "--budget", budget, "--out", tmp_path / "plan.csv")
    assert ended.exit_code == 0, ended.output
    rows = read(tmp_path / "plan.csv")
    assert {row["largest_batch"] for row in rows} == {answer}
    assert answer in ended.stdout
    for row in rows:  # batches that were not evaluated have no number
        at_one, at_limit = (bytes_of(row, batch_size=size).peak_total_bytes for size in (1, 2**24))
        expected = ("", str(at_one)) if answer == "none" else (str(at_limit), "")
        assert (row["peak_total_bytes"], row["next_peak_total_bytes"]) == expected


@pytest.mark.long
def test_the_figure_has_a_text_alternative(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, modules=["depth", 1], hidden=[8, 16])
    ended = plan(suite, "--budget", "3MB", "--figure", tmp_path / "figures" / "plan.svg", "--out", tmp_path / "p.csv")
    assert ended.exit_code == 0, ended.output
    root = ElementTree.parse(tmp_path / "figures" / "plan.svg").getroot()
    texts = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
    assert texts["title"] == "Largest batch whose training step fits 3MB"
    for row in read(tmp_path / "p.csv"):
        assert f"{int(row['largest_batch']):,}" in texts["desc"]
    for panel in ("hidden 8, 1 layer per module", "hidden 16, 1 layer per module", "hidden 8, one module"):
        assert panel in texts["desc"]
    drawn = "".join(root.itertext())
    assert "sid-streamed" in drawn
    assert "largest batch" in drawn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memoryy"], "unknown suite 'memoryy'; did you mean memory?"),
        (["memory", "--set", "deepth=3"], "unknown axis 'deepth'; did you mean depth?"),
        (["memory", "--set", "depth=0"], "depth = 0; legal: an integer of 1 or more"),
        (["memory", "--set", "method=sid-stremed"], "unknown method 'sid-stremed'; did you mean sid-streamed?"),
        (["memory", "--set", "passes=memry"], "passes = 'memry'; legal: one or more of memory"),
        (["memory", "--budget", "0"], "--budget '0'; legal: a number above 0 and one of B, kB"),
        (["memory", "--budget", "0GiB"], "--budget '0GiB'; legal: a number above 0"),
        (["memory", "--budget", "-1GiB"], "--budget '-1GiB'; legal: a number above 0"),
        (["memory", "--budget", "8 gigs"], "--budget '8 gigs'; legal: a number above 0"),
        (
            ["memory", "--figure", "x.svg"],
            "--figure x.svg without --budget; legal: a file that ends in .svg, together with --budget",
        ),
        (["memory", "--budget", "1GiB", "--figure", "x.png"], "--figure x.png; legal: a file that ends in .svg"),
        (["default", "--set", "dataset=image-folder"], "dataset = 'image-folder' cannot be planned: the number"),
    ],
)
def test_illegal_arguments_are_refused_with_a_message(arguments: list[str], message: str) -> None:
    ended = plan(*arguments)
    assert ended.exit_code == 2
    assert message in ended.stderr
    assert ended.stdout == ""


def test_an_empty_figure_and_an_unwritable_file_are_errors(suite: Path, tmp_path: Path) -> None:
    ended = plan(suite, "--budget", "1kB", "--figure", tmp_path / "plan.svg")
    assert ended.exit_code == 2
    assert "--figure has nothing to draw: no batch fits --budget 1kB" in ended.stderr
    ended = plan(suite, "--out", suite / "plan.csv")
    assert ended.exit_code == 2
    assert f"cannot write {suite / 'plan.csv'}" in ended.stderr


def test_a_network_that_fails_under_every_rule_is_an_error_without_a_table(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n\n\n"
        "class Unit(nn.Module):\n    def forward(self, x):\n        raise ValueError('bad')\n\n\n"
        "def units(shape):\n    return [nn.Flatten(), Unit()]\n"
    )
    asked = ("--set", f"network={tmp_path / 'own.py'}:units", "--set", "method=bp,sid-streamed", "--jobs", 1)
    message = (
        "unit 2 of 2, Unit, gets a tensor of shape [2, 784], and fails: ValueError: bad; legal: a unit that takes the "
        "output of the one before, the first one the images"
    )
    for more in ((), ("--budget", "1GiB", "--figure", tmp_path / "plan.svg"), ("--out", tmp_path / "rows.csv")):
        ended = plan(*asked, *more)
        assert ended.exit_code == 2, ended.output
        assert ended.stderr.splitlines()[-1] == f"error: no cell can be planned: {message}"
        assert ended.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]
    fitted = CliRunner().invoke(bench.cli.app.app, ["fit", f"{tmp_path / 'own.py'}:units", "--budget", "1GiB"])
    assert fitted.exit_code == 2
    (error,) = (line for line in fitted.stderr.splitlines() if line.startswith("error: "))
    network = f"{tmp_path / 'own.py'}:units"
    assert error == f"error: network {network!r} cannot be planned: {message.replace('784', '2352')}"


def test_reasons_that_differ_are_named_with_their_rules(tmp_path: Path) -> None:
    rule = "def {0}(network, images, labels, objective):\n    raise ValueError('{0} is broken')\n\n\n"
    (tmp_path / "rules.py").write_text(rule.format("first") + rule.format("second"))
    methods = ",".join(f"{tmp_path / 'rules.py'}:{name}" for name in ("first", "second"))
    ended = plan("--set", f"method={methods}", "--jobs", 1)
    assert ended.exit_code == 1, ended.output
    for name in ("first", "second"):
        assert f"rules.py:{name} depth 4: ValueError: {name} is broken" in ended.stderr
        assert f"rules.py:{name} " in ended.stdout
    asked = ["fit", "pipeline-linear", "--budget", "1GiB", "--image-size", "6", "--batch-size", "8", "--jobs", "1"]
    alone = ["--set", "recompute=none", "--set", "micro_batches=1"]
    fitted = CliRunner().invoke(bench.cli.app.app, [*asked, *alone, "--methods", methods])
    assert fitted.exit_code == 2
    assert re.search(
        r"error: network 'pipeline-linear' cannot be planned: \S+rules.py:first: .*first is broken", fitted.stderr
    )


@pytest.mark.parametrize("option", ["--round-to", "--jobs"])
def test_counts_must_be_at_least_one(suite: Path, option: str) -> None:
    assert plan(suite, option, 0).exit_code == 2


def test_help_mentions_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    ended = plan("--help")
    for parameter in typer.main.get_command(bench.cli.app.app).commands["plan"].params:  # type: ignore[attr-defined]
        assert all(option in ended.stdout for option in parameter.opts if option.startswith("--"))
        assert getattr(parameter, "help", None), parameter.name


RULE = """
SUMMARY = "divides its loss by itself"
USES_ALPHA = False


def accumulate_gradients(network, images, labels, alpha):
    from bench.train.rules.bp import train_end_to_end

    loss = train_end_to_end(network, images, labels, None)
    return loss / float(loss)
"""
WITHOUT_TORCH = """
import sys
import bench.cli.app
try:
    bench.cli.app.app(sys.argv[1:])
finally:
    loaded = {"torch", "pandas", "scipy", "matplotlib", "sklearn"} & set(sys.modules)
    assert not loaded, loaded
"""


@pytest.mark.long
def test_a_method_that_cannot_be_planned_has_a_message_and_the_plan_goes_on(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "reading_rule.py").write_text(RULE, encoding="utf-8")
    metadata = tmp_path / "reading-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: reading\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text("[sid_bench.methods]\nreading = reading_rule\n", encoding="utf-8")
    arguments = ["plan", str(suite), "--set", "method=bp,reading", "--set", "depth=2", "--out", "plan.csv"]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    message = "method 'reading' can be measured, but not planned: it reads the contents of a tensor"
    assert ended.stderr.count(message) == 2
    rows = read(tmp_path / "plan.csv")
    assert [row["method"] for row in rows] == ["bp", "bp", "reading", "reading"]
    assert all(int(row["peak_total_bytes"]) == bytes_of(row).peak_total_bytes for row in rows[:2])
    assert all(row["peak_total_bytes"] == row["total_ratio_to_bp"] == "" for row in rows[2:])
    assert all(row["message"].startswith(message) for row in rows[2:])
