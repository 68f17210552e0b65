"""The README says what is true: its numbers, its pages, its commands."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from docs_pages import write_files

from bench.analysis.repetition import repetition
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method, rule_of
from bench.config.sweep import load_sweep
from bench.measure.memory.measure import measure_memory
from bench.plan.grid import shape_of
from bench.store.file import read_records
from bench.store.record import Record
from bench.train.step import build_step

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the report on the reference records of ``default``, as by README, and what the command prints."""
    folder = tmp_path_factory.mktemp("report")
    file = ROOT / "results" / "reference" / "default.jsonl"
    command = [sys.executable, "-m", "bench", "report", str(file), "--out", str(folder / "page.html")]
    command += ["--figures", str(folder), "--markdown", str(folder / "summary.md")]
    return folder, subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout


@pytest.mark.long
def test_the_summary_is_what_the_committed_records_give(report: tuple[Path, str]) -> None:
    folder, _ = report
    assert (folder / "summary.md").read_text() == (ROOT / "reports" / "reference" / "summary.md").read_text()
    assert (folder / "memory-depth.svg").exists()


def test_every_link_to_a_definition_on_the_page_has_its_target(report: tuple[Path, str]) -> None:
    page = (report[0] / "page.html").read_text()
    links = set(re.findall(r'href="#(term-[^"]+)"', page))
    assert links
    assert links <= set(re.findall(r'<dt id="([^"]+)"', page))


@pytest.mark.parametrize(
    "suite",
    [
        *("backbones", "default", "gpu224", "human-noise", "memory", "modes", "parallel", "peers", "rivals"),
        *("noise", "noise-pipeline", "rule-or-head", "study"),
    ],
)
def test_the_committed_records_cover_the_suite(suite: str) -> None:
    records: dict[str, Record] = read_records(ROOT / "results" / "reference" / f"{suite}.jsonl").latest
    measured = {_today(record.cell) for record in records.values()}
    assert set(load_sweep(suite).cells) <= measured
    assert {record.status for record in records.values()} == {"ok"}


def _today(cell: Cell) -> Cell:
    """A stored cell under its present name: BP with checkpoints and in micro-batches were methods of their own."""
    return cell if load_method(cell.method).alias_of is None else make_cell(cell.model_dump() | {"recompute": None})


@cache
def records_of(suite: str) -> list[Record]:
    return list(read_records(ROOT / "results" / "reference" / f"{suite}.jsonl").latest.values())


def one(suite: str, **axes: Any) -> Record:
    (record,) = (
        record
        for record in records_of(suite)
        if all(getattr(record.cell, name) == value for name, value in axes.items())
    )
    return record


def bytes_over_bp(**axes: Any) -> str:
    own, bp = one("backbones", **axes), one("backbones", **{**axes, "method": "bp", "recompute": "none"})
    assert own.memory is not None
    assert bp.memory is not None
    return f"{100 * own.memory.peak_activation_bytes / bp.memory.peak_activation_bytes:.0f} %"


def time_over_bp(**axes: Any) -> str:
    latency = one("backbones", **axes).latency
    assert latency is not None
    assert latency.ratio_ci95 is not None
    low, high = latency.ratio_ci95
    return f"{latency.ratio_to_bp:.2f} [{low:.2f}, {high:.2f}]"


def test_what_it_says_of_resnet_is_what_the_records_give() -> None:
    at = {"network": "pipeline-resnet18", "image_size": 32, "modules": 5, "cut": "balanced"}
    said = " ".join(README.split())
    streamed = {"method": "sid-streamed", "recompute": "none", "micro_batches": None, **at}
    checkpoints = {"method": "bp", "recompute": "modules", "micro_batches": None, **at}
    assert f"and {bytes_over_bp(**streamed)} on ResNet-18 in five stages" in said
    assert f"and {bytes_over_bp(**checkpoints)}, but a step takes" in said
    assert f"and {time_over_bp(**checkpoints)} times as long as one of BP without checkpoints" in said


def test_what_it_says_of_the_bytes_of_both_example_rules_is_measured(tmp_path: Path) -> None:
    write_files(ROOT / "README.md", tmp_path)
    said = " ".join(README.split())
    sizes = re.search(r"On `cascade-linear` with (\d+) modules and batches of (\d+), the first form holds", said)
    assert sizes is not None
    own = [f"{tmp_path}/my_rule.py:local_label", f"{tmp_path}/my_streamed_rule.py:local_label_streamed"]
    bp, *rules = (activation_bytes(method, *map(int, sizes.groups())) for method in ("bp", *own))
    first, second = (f"{100 * size / bp:.0f} %" for size in rules)
    assert f"the first form holds {first} of BP's activation bytes, and the second {second}." in said


def activation_bytes(method: str, depth: int, batch_size: int) -> int:
    sizes = {"network": "cascade-linear", "dataset": "random", "depth": depth, "batch_size": batch_size}
    cell = make_cell({"method": method, "passes": ["memory"], **sizes})
    shape, classes = shape_of(cell)
    images, labels = torch.randn(batch_size, *shape), torch.randint(classes, (batch_size,))
    return measure_memory(build_step(cell, shape, classes), images, labels, ask_allocator=False).peak_activation_bytes


@pytest.mark.parametrize("network", [{"network": "cascade-linear"}, {"network": "pipeline-linear", "modules": 3}])
def test_both_forms_of_the_example_rule_have_the_same_gradients(network: dict[str, Any], tmp_path: Path) -> None:
    write_files(ROOT / "README.md", tmp_path)
    gradients = []
    for name in ("my_rule.py:local_label", "my_streamed_rule.py:local_label_streamed"):
        cell = make_cell(
            {"method": f"{tmp_path}/{name}", "dataset": "digits", "depth": 3, "passes": ["memory"]} | network
        )
        shape, classes = shape_of(cell)
        step = build_step(cell, shape, classes)
        torch.manual_seed(0)
        rule_of(load_method(cell.method))(step.network, torch.randn(8, *shape), torch.randint(classes, (8,)), None)
        gradients.append([parameter.grad for parameter in step.network.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_terminal_shows_the_method_of_every_row(report: tuple[Path, str]) -> None:
    _, shown = report
    answers, table, rest = shown.partition("cascade-conv: ")
    for question in ("Does SID need less memory?", "Is SID faster?", "Is SID as accurate?"):
        assert re.search(rf"^{re.escape(question)} (better|worse|equivalent|undecided) \(", answers, flags=re.MULTILINE)
    costs, accuracies = (table + rest).split("accuracy", 1)
    for part, methods in (
        (costs, ("sid-vectorised", "bp recompute modules")),
        (accuracies, ("deep-supervision", "bp")),
    ):
        for method in methods:
            assert re.search(rf"^{method} +\S", part, flags=re.MULTILINE), part
    assert "sid-vectorised" not in accuracies  # a row without a number


def test_what_the_docs_say_of_repeated_runs_is_what_the_records_give() -> None:
    folder = ROOT / "results" / "reference" / "repeat-default"
    runs = [list(read_records(folder / f"{number}.jsonl").latest.values()) for number in range(1, 8)]
    found = repetition(runs)
    assert found.clean is not None
    said = " ".join((ROOT / "docs" / "repeating.md").read_text(encoding="utf-8").split())
    clean = found.clean
    assert f"{100 * clean.coverage:.1f} % of {clean.intervals} clean intervals contain the grand median" in said
    assert f"{100 * clean.beyond:.1f} % of {clean.pairs} pairs of clean runs differ" in said
    assert f"Of {found.records} latencies, {found.noisy} were noisy" in said
    # The aims, by the limit that honest intervals are judged by.
    assert clean.coverage >= 0.93
    assert clean.beyond <= 0.08
