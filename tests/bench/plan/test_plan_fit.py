"""``sid-bench fit``: what fits, its tables, files, figure, exit codes and refusals."""

import csv
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
from typer.testing import CliRunner

import bench.cli.app
from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.measure.memory.persistent import head_bytes
from bench.plan.grid import shape_of
from bench.store.measurements.memory import Memory
from bench.train.step import build_step

UNITS = """
from torch import nn


def units(shape):
    channels, height, width = shape
    return [
        nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()),
    ]
"""
SMALL = ("pipeline-linear", "--image-size", "6", "--set", "width=9", "--set", "hidden=7", "--set", "depth=4")


ROOT = Path(__file__).parents[3]
ALONE = ("--set", "recompute=none", "--set", "micro_batches=1")  # rules without their settings


def fit(*arguments: object) -> Any:
    return CliRunner().invoke(bench.cli.app.app, ["fit", *map(str, arguments)])


def found(*arguments: object) -> dict[str, Any]:
    """What ``fit --json`` prints."""
    ended = fit(*arguments, "--json")
    assert ended.exit_code in (0, 1), ended.output
    content: dict[str, Any] = json.loads(ended.stdout)
    return content


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A network of somebody's own, in the current folder."""
    (tmp_path / "own_network.py").write_text(UNITS)
    monkeypatch.chdir(tmp_path)
    return "own_network.py:units"


def measured(cell: dict[str, Any], batch_size: int) -> tuple[Memory, int]:
    """The bytes of a step that really runs, and those of its heads."""
    of = make_cell({**cell, "batch_size": batch_size, "passes": ["memory"]})
    shape, classes = shape_of(of)
    step = build_step(of, shape, classes)
    images, labels = torch.randn(batch_size, *shape), torch.randint(classes, (batch_size,))
    return measure_memory(step, images, labels, ask_allocator=False), head_bytes(step)


def test_the_documentation_names_every_key_of_the_json() -> None:
    arguments = ("resnet18", "--budget", "1GiB", "--image-size", 32, "--modules", 5, "--set", "cut=balanced")
    fits = found(*arguments, "--methods", "sid-streamed,bp-plain,noprop", *ALONE)
    page = (ROOT / "docs" / "fitting.md").read_text(encoding="utf-8")
    table = page.partition("| key | what it holds |")[2].partition("\n\n")[0]
    told = set(re.findall(r"`([\w.]+)`", table)) - {"null", "memory.peak_total_bytes"}
    assert fits["refused"]
    assert keys(fits) == told


def keys(part: object) -> set[str]:
    """The keys of all objects of a JSON text, but for the axes of cells."""
    if isinstance(part, list):
        return set().union(*map(keys, part))
    if not isinstance(part, dict):
        return set()
    return set(part).union(*(keys(value) for name, value in part.items() if name != "cell"))


@pytest.mark.long
def test_the_largest_batch_fits_when_it_runs_and_one_more_sample_does_not(own: str) -> None:
    budget = 1_000_000
    rules = "bp-microbatch,sid-streamed-in-turn,dgl"
    fits = found(own, "--budget", "1MB", "--image-size", 8, "--batch-size", 6, "--modules", 3, "--methods", rules)
    assert len(fits["rows"]) >= 8
    for row in fits["rows"]:
        (answer,) = row["budgets"]
        largest = answer["largest_batch"]
        (at_largest, _), (beyond, _) = measured(row["cell"], largest), measured(row["cell"], largest + 1)
        assert at_largest.peak_total_bytes <= budget < beyond.peak_total_bytes, row["rule"]
        assert answer["largest_batch_bytes"] == at_largest.peak_total_bytes
        assert answer["next_batch_bytes"] == beyond.peak_total_bytes
        assert answer["fits"] == (largest >= 6)


@pytest.mark.long
def test_bytes_by_kind_are_those_of_a_step_that_runs(own: str) -> None:
    fits = found(own, "--budget", "1GiB", "--image-size", 8, "--batch-size", 6, "--methods", "bp-plain,infopro", *ALONE)
    for row in fits["rows"]:
        memory, heads = measured(row["cell"], 6)
        assert row["bytes"] == {
            "activations": memory.peak_activation_bytes,
            "parameters": memory.parameter_bytes + memory.buffer_bytes,
            "gradients": memory.gradient_bytes,
            "optimizer": memory.optimizer_bytes,
            "batch": memory.input_bytes,
            "heads": heads,
            "total": memory.peak_total_bytes,
            "needed": memory.peak_total_bytes,  # on the CPU nothing is added
        }
        assert heads > 0


@pytest.mark.long
def test_every_setting_of_the_usual_rules_has_a_row_and_refusals_their_reason() -> None:
    pipeline = found(*SMALL, "--budget", "1GiB", "--batch-size", 16)
    names = [row["rule"] for row in pipeline["rows"]]
    for rule in ("bp", "bp-plain", "sid-streamed"):
        for setting in (
            *("", " micro-batches 2", " micro-batches 4", " micro-batches 8"),
            *(" recompute modules", " recompute selective"),
        ):
            assert f"{rule}{setting}" in names
    assert {"sid-published", "sid-streamed-in-turn", "bp-step-in-backward"} <= set(names)
    reasons = {refusal["method"]: refusal["reason"] for refusal in pipeline["refused"]}
    assert "only its compiler knows" in reasons["bp-budget"]
    assert "only its compiler knows" in reasons["sid-streamed-compiled"]
    assert "moves bytes from the device" in reasons["bp-offload"]
    assert "legal: cascade" in reasons["sid-vectorised"]


@pytest.mark.long
def test_a_cascade_can_run_its_trunk_again() -> None:
    sizes = ("--image-size", 6, "--set", "depth=2", "--modules", 2, "--set", "hidden=7", "--batch-size", 4)
    fits = found("cascade-linear", "--budget", "1GiB", *sizes, "--methods", "sid-streamed,sid-vectorised,bp-plain")
    names = [row["rule"] for row in fits["rows"]]
    assert {"sid-streamed recompute trunk", "sid-streamed recompute all", "sid-vectorised recompute trunk"} <= set(
        names
    )
    refused = {(refusal["method"], refusal["setting"]): refusal["reason"] for refusal in fits["refused"]}
    assert "legal: pipeline" in refused["bp-plain", ""]
    assert "legal: none, trunk" in refused["sid-vectorised", "recompute=modules"]
    assert "micro_batches = 8 for batch_size = 4" in refused["sid-streamed", "micro_batches=8"]


@pytest.mark.long
def test_an_axis_that_is_given_is_not_varied_and_modules_are_columns_of_their_own() -> None:
    arguments = (*SMALL, "--budget", "1GiB", "--batch-size", 32, "--methods", "bp", "--modules", "2,4")
    fits = found(*arguments, "--set", "micro_batches=16", "--set", "recompute=none")
    assert [row["rule"] for row in fits["rows"]] == [
        "bp micro-batches 16, modules 2",
        "bp micro-batches 16, modules 4",
    ]


@pytest.mark.long
def test_several_budgets_are_columns_and_bars(tmp_path: Path) -> None:
    budgets = "100kB,1MB,1GB"
    files = [tmp_path / name for name in ("fits.md", "fits.csv", "fits.svg")]
    options = [word for pair in zip(("--markdown", "--csv", "--figure"), files, strict=True) for word in pair]
    ended = fit(*SMALL, "--budget", budgets, "--batch-size", 400, "--methods", "bp,sid-published", *ALONE, *options)
    assert ended.exit_code == 0, ended.output
    fits = found(*SMALL, "--budget", budgets, "--batch-size", 400, "--methods", "bp,sid-published", *ALONE)
    with files[1].open(encoding="utf-8", newline="") as file:
        written = {row["rule"]: row for row in csv.DictReader(file)}
    markdown = files[0].read_text(encoding="utf-8")
    root = ElementTree.parse(files[2]).getroot()
    texts = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
    drawn = "".join(root.itertext())
    assert set(written) == {row["rule"] for row in fits["rows"]}
    for row in fits["rows"]:
        answers = {answer["budget"]: answer for answer in row["budgets"]}
        batches = [answer["largest_batch"] for answer in answers.values()]
        assert list(answers) == budgets.split(",")
        assert sorted(batches) == batches
        assert batches[0] < 400 < batches[-1], "neither everything fits nor nothing"
        for budget, answer in answers.items():
            assert written[row["rule"]][f"largest_batch_{budget}"] == str(answer["largest_batch"] or "none")
            assert written[row["rule"]][f"fits_{budget}"] == str(answer["fits"])
            assert f"{budget} {answer['largest_batch']:,}" in texts["desc"] or answer["largest_batch"] == 0
            assert f"{budget}: {answer['largest_batch']:,}" in drawn or answer["largest_batch"] == 0
        assert int(written[row["rule"]]["activations_bytes"]) == row["bytes"]["activations"]
        within = ", ".join(budget for budget, answer in answers.items() if answer["fits"])
        assert re.search(rf"^\| {re.escape(row['rule'])} \| {within} \| ", markdown, re.MULTILINE)
        assert row["rule"] in ended.stdout
    assert "batch 400" in drawn
    assert texts["title"] == "Largest batch of pipeline-linear whose training step fits 100kB, 1MB, 1GB"


@pytest.mark.long
def test_a_figure_may_be_a_bitmap_and_has_to_have_something_to_show(tmp_path: Path) -> None:
    arguments = (*SMALL, "--batch-size", 16, "--methods", "sid-published", *ALONE)
    assert fit(*arguments, "--budget", "1MB", "--figure", tmp_path / "fits.png").exit_code == 0
    assert (tmp_path / "fits.png").read_bytes().startswith(b"\x89PNG")
    ended = fit(*arguments, "--budget", "1kB", "--figure", tmp_path / "none.svg")
    assert ended.exit_code == 2
    assert "--figure has nothing to draw: no batch fits --budget 1kB" in ended.stderr
    assert not (tmp_path / "none.svg").exists()


@pytest.mark.parametrize(("budget", "code", "word"), [("1GiB", 0, "yes"), ("2kB", 1, "no"), ("2kB,1GiB", 0, "1GiB")])
@pytest.mark.long
def test_the_exit_code_says_whether_something_fits(budget: str, code: int, word: str) -> None:
    ended = fit(*SMALL, "--budget", budget, "--batch-size", 16, "--methods", "sid-published", *ALONE)
    assert ended.exit_code == code, ended.output
    assert re.match(r"In [12] (kB|GiB), sid-published fits ", ended.stdout)
    assert "planning 1 cell" in ended.stderr
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith("sid-published"))
    assert line.split()[1] == word


@pytest.mark.long
def test_a_backbone_stands_for_its_pipeline() -> None:
    fits = found(
        "vit-tiny",
        "--budget",
        "1GiB",
        "--image-size",
        8,
        "--batch-size",
        2,
        "--methods",
        "sid-streamed-in-turn",
        *ALONE,
    )
    assert fits["network"] == "pipeline-vit-tiny"
    assert fits["rows"][0]["cell"]["channels"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet5", "--budget", "1GiB"], "unknown network 'resnet5'; did you mean resnet5"),
        (["missing.py:units", "--budget", "1GiB"], "there is no file"),
        (["resnet18", "--budget", "0GiB"], "--budget '0GiB'; legal: a number above 0"),
        (["resnet18", "--budget", "1GiB,2"], "--budget '2'; legal: a number above 0"),
        (["resnet18", "--budget", ","], "--budget ','; legal: sizes joined by commas"),
        (
            ["resnet18", "--budget", "1GiB", "--figure", "x.pdf"],
            "--figure x.pdf; legal: a file that ends in .svg or .png",
        ),
        (
            ["resnet18", "--budget", "1GiB", "--methods", "sid-stremed"],
            "--methods: unknown method 'sid-stremed'; did you",
        ),
        (["resnet18", "--budget", "1GiB", "--modules", "2", "--set", "modules=3"], "--modules 2 beside --set modules"),
        (["resnet18", "--budget", "1GiB", "--methods", ","], "--methods ','; legal: usual, peers, all"),
        (["resnet18", "--budget", "1GiB", "--set", "method=bp"], "--set method=bp beside --methods; legal: --methods"),
        (
            ["resnet18", "--budget", "1GiB", "--set", "network=x"],
            "--set network=x beside NETWORK; legal: NETWORK alone",
        ),
        (["resnet18", "--budget", "1GiB", "--set", "deepth=3"], "unknown axis 'deepth'; did you mean depth?"),
        (["resnet18", "--budget", "1GiB", "--set", "device=cpu,cuda"], "--set device=cpu,cuda; legal: one device"),
        (["resnet18", "--budget", "1GiB", "--batch-size", "0"], "batch_size = 0; legal: an integer of 1 or more"),
        (
            ["resnet18", "--budget", "1GiB", "--modules", "99"],
            "modules = 99 for network pipeline-resnet18; legal: 1 to 9",
        ),
        (["resnet18", "--budget", "1GiB", "--results", "none.jsonl"], "cannot read none.jsonl"),
        (["resnet18", "--budget", "1GiB", "--measure-out", "x.jsonl"], "--measure-out x.jsonl without --measure"),
        (["resnet18", "--budget", "1GiB", "--measure-memory", "2"], "--measure-memory '2'; legal: a number above 0"),
        (["resnet18", "--budget", "1GiB", "--measure", "--measure-seconds", "inf"], "value for '--measure-seconds'"),
        (["image.py:x", "--budget", "1GiB", "--set", "dataset=image-folder"], "there is no file"),
        (["resnet18", "--budget", "1GiB", "--set", "dataset=image-folder"], "cannot be planned: the number of classes"),
        (
            ["resnet18", "--budget", "1GiB", "--image-size", "64", "--set", "dataset=image-folder:shapes"],
            "need the same bytes: --set dataset=random --set channels=3 --set classes=N\n",
        ),
        (
            ["resnet18", "--budget", "1GiB", "--set", "dataset=image-folder", "--set", "channels=1"],
            "need the same bytes: --set dataset=random --set image_size=N --set channels=1 --set classes=N\n",
        ),
        (["resnet18", "--budget", "1GiB", "--csv", "x", "--markdown", "x"], "would replace"),
        (["resnet18", "--budget", "1GiB", "--image-size", "8", "--set", "image_size=9"], "--image-size 8 and --set"),
    ],
)
def test_illegal_arguments_are_refused_with_a_message(arguments: list[str], message: str) -> None:
    ended = fit(*arguments)
    assert ended.exit_code == 2, ended.output
    assert message in ended.stderr
    assert ended.stdout == ""
