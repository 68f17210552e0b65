"""The README says what is true: its table, its commands, its examples."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.repetition import repetition
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.sweep import load_sweep
from bench.store.file import read_records
from bench.store.record import Record

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


PLAIN_BP = {"method": "bp", "recompute": "none", "micro_batches": None}
BP_WITH_LESS_MEMORY: dict[str, dict[str, Any]] = {
    "BP with a checkpoint per block": {"method": "bp", "recompute": "modules"},
    "BP in four micro-batches": {"method": "bp", "micro_batches": 4},
}


def test_the_table_is_what_the_committed_records_give(report: tuple[Path, str]) -> None:
    folder, _ = report
    expected = (folder / "summary.md").read_text()
    shown = re.search(r"<!-- summary:[^\n]*-->\n(.*?)<!-- end of summary -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == expected.strip()
    assert expected == (ROOT / "reports" / "reference" / "summary.md").read_text()
    assert (folder / "memory-depth.svg").exists()


def test_every_link_to_a_definition_on_the_page_has_its_target(report: tuple[Path, str]) -> None:
    page = (report[0] / "page.html").read_text()
    links = set(re.findall(r'href="#(term-[^"]+)"', page))
    assert links
    assert links <= set(re.findall(r'<dt id="([^"]+)"', page))


@pytest.mark.parametrize("suite", ["default", "gpu224", "modes"])
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
    own, bp = one("backbones", **axes), one("backbones", **{"micro_batches": None, **axes, "method": "bp"})
    assert own.memory is not None
    assert bp.memory is not None
    return f"{own.memory.peak_activation_bytes / bp.memory.peak_activation_bytes:.2f}"


def time_over_bp(**axes: Any) -> str:
    latency = one("backbones", **axes).latency
    assert latency is not None
    return f"{latency.ratio_to_bp:.2f}"


def test_what_it_says_of_resnet_is_what_the_records_give() -> None:
    at = {"network": "pipeline-resnet18", "image_size": 32, "modules": 5, "cut": "balanced"}
    trunk = {"network": "cascade-resnet18"}
    said = " ".join(README.split())
    for method, words in (
        ("sid-streamed", "streamed SID holds {} of BP's activation bytes and takes {} of its step time"),
        ("bp-checkpoint", "BP with a checkpoint per block holds {} and takes {}"),
        ("bp-microbatch", "BP in four micro-batches holds {} and takes {}"),
    ):
        here = {"method": method, "micro_batches": None, **at}
        assert words.format(bytes_over_bp(**here), time_over_bp(**here)) in said
    words = "as a trunk, as published, streamed SID holds {}, and {} at {} of the time if the trunk is run again"
    again = {"method": "sid-streamed-recompute", **trunk}
    figures = (bytes_over_bp(method="sid-streamed", **trunk), bytes_over_bp(**again), time_over_bp(**again))
    assert words.format(*figures) in said


def test_what_it_says_of_a_gpu_is_what_the_records_give() -> None:
    said = " ".join(README.split())

    def costs(suite: str, **axes: Any) -> tuple[str, str]:
        own, bp = (
            one(suite, **{"recompute": "none", "micro_batches": None, **axes, **rule}) for rule in ({}, PLAIN_BP)
        )
        assert own.memory is not None
        assert bp.memory is not None
        assert own.latency is not None
        assert (own.cell.device, own.environment["gpu"]) == ("cuda", "NVIDIA H200")
        assert own.environment["torch"] == "2.11.0"
        bytes_ = own.memory.peak_activation_bytes / bp.memory.peak_activation_bytes
        return f"{bytes_:.2f}", f"{own.latency.ratio_to_bp:.2f}"

    for network, rules in (
        ("pipeline-vit_b_16", {"streamed SID": {"method": "sid-streamed"}, **BP_WITH_LESS_MEMORY}),
        (
            "pipeline-resnet50",
            {
                "streamed SID": {"method": "sid-streamed"},
                "BP without the other stages' heads": {"method": "bp-plain"},
                **dict([*BP_WITH_LESS_MEMORY.items()][:1]),
            },
        ),
    ):
        for name, rule in rules.items():
            holds, takes = costs("gpu224", network=network, **rule)
            sentences = (
                f"{name} holds {holds} and takes {takes}",
                f"{name} holds {holds} of BP's activation bytes and takes {takes}",
            )
            assert any(sentence in said for sentence in sentences), sentences
    deep = {"network": "cascade-linear", "depth": 64, "batch_size": 256}
    _, streamed = costs("default-cuda", method="sid-streamed", **deep)
    bytes_, vectorised = costs("default-cuda", method="sid-vectorised", **deep)
    assert (
        f"streamed SID takes {streamed} of BP's time, and vectorised SID {vectorised}, with {bytes_} of its bytes"
        in said
    )


def test_what_it_says_of_compiled_steps_is_what_the_records_give() -> None:
    def time(method: str, depth: int, batch_size: int) -> str:
        usual = {"micro_batches": None, "recompute": "none", "activation_memory_budget": None}
        latency = one("rivals", method=method, depth=depth, batch_size=batch_size, **usual).latency
        assert latency is not None
        assert len(latency.processes) == 5
        return f"{latency.ratio_to_bp:.2f}"

    said = " ".join(README.split())
    sizes = [(16, 32), (16, 256), (64, 32), (64, 256)]
    first, *rest = [
        (time("sid-streamed-compiled", *size), time("bp-budget", *size), f"at depth {size[0]} and batch {size[1]}")
        for size in sizes
    ]
    assert "compiled SID takes {} and compiled BP {} {}".format(*first) in said
    for words in rest:
        assert "{} and {} {}".format(*words) in said
    *most, last = [time("sid-streamed", *size) for size in sizes]
    assert f"Streamed SID that is not compiled takes {', '.join(most)} and {last}." in said


def test_what_it_says_of_ranks_is_what_the_records_give() -> None:
    said = " ".join(README.split())
    ratios = {}
    for record in records_of("parallel"):
        if record.ranks is not None:
            assert record.ranks.ratio_to_one_rank is not None
            ratios.setdefault(record.cell.method, []).append((record.ranks.ratio_to_one_rank, record.ranks.bound))
    ((parallel, of_parallel),), ((pipelined, of_pipelined),) = ratios["sid-parallel"], ratios["sid-pipelined"]
    schedules = {method: min(found)[0] for method, found in ratios.items() if method.startswith("bp-")}
    best = min(schedules, key=lambda method: schedules[method])
    assert f"`sid-parallel` takes {parallel:.2f} of the time (bound {of_parallel:.2f})" in said
    assert f"`sid-pipelined` {pipelined:.2f} (bound {of_pipelined:.2f})" in said
    assert f"`{best}`, the best of BP's schedules, {schedules[best]:.2f}" in said


def test_what_it_says_of_label_noise_is_what_the_records_give() -> None:
    def mean(method: str, alpha: float | None, epochs: int, when: str = "test_last") -> str:
        found = [
            getattr(record.accuracy, when)
            for record in records_of("noise")
            if record.accuracy is not None
            and (record.cell.network, record.cell.method, record.cell.alpha) == ("pipeline-conv", method, alpha)
            and (record.cell.noise_rate, record.cell.epochs) == (0.4, epochs)
        ]
        assert len(found) == 3
        return f"{100 * sum(found) / 3:.1f}"

    said = " ".join(README.split())
    ways = (("bp", None), ("bp-label-smoothing", 0.5), ("deep-supervision", None), ("sid-streamed", 0.5))
    short, long = ([mean(method, alpha, epochs) for method, alpha in ways] for epochs in (10, 100))
    assert (
        "after 100 epochs BP has {} %, BP with label smoothing {}, deep supervision {}, SID {}; after 10 epochs "
        "{}, {}, {} and {}".format(*long, *short)
        in said
    )
    chosen = [mean(method, alpha, 100, "test_at_best_clean_validation") for method, alpha in ways]
    assert "At the best of 100 epochs by clean validation labels they have {}, {}, {} and {}.".format(*chosen) in said


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
    assert f"{100 * clean.coverage:.1f} % of {clean.intervals} clean intervals hold the grand median" in said
    assert f"{100 * clean.beyond:.1f} % of {clean.pairs} pairs of clean runs differ" in said
    assert found.noisy == 1
    assert f"One of {found.records} latencies was noisy" in said
    # The aims, by the limit that honest intervals are judged by.
    assert clean.coverage >= 0.93
    assert clean.beyond <= 0.08
