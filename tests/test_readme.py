"""The README says what is true: its table, its commands, its examples."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bench.config.sweep import load_sweep
from bench.report import write_report
from bench.store.file import read_records
from bench.store.record import Record

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_table_is_what_the_committed_records_give(tmp_path: Path) -> None:
    write_report(
        [ROOT / "results" / "reference" / "default.jsonl"],
        tmp_path / "page.html",
        tmp_path,
        tmp_path / "summary.md",
    )
    expected = (tmp_path / "summary.md").read_text()
    shown = re.search(r"<!-- summary:[^\n]*-->\n(.*?)<!-- end of summary -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == expected.strip()
    assert expected == (ROOT / "reports" / "reference" / "summary.md").read_text()
    assert (tmp_path / "memory-against-depth.svg").exists()


@pytest.mark.parametrize("suite", ["backbones", "default", "modes", "noise", "noise-pipeline", "parallel"])
def test_the_committed_records_cover_the_suite(suite: str) -> None:
    records: dict[str, Record] = read_records(ROOT / "results" / "reference" / f"{suite}.jsonl").latest
    assert {cell.id for cell in load_sweep(suite).cells} <= set(records)
    assert {record.status for record in records.values()} == {"ok"}


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
        ("bp-checkpoint", "BP with a checkpoint a block {} at {}"),
        ("bp-microbatch", "BP in four micro-batches {} at {}"),
    ):
        here = {"method": method, "micro_batches": None, **at}
        assert words.format(bytes_over_bp(**here), time_over_bp(**here)) in said
    words = "with the backbone as a trunk, as published, it holds {}, and {} at {} where the trunk is run again"
    again = {"method": "sid-streamed-recompute", **trunk}
    figures = (bytes_over_bp(method="sid-streamed", **trunk), bytes_over_bp(**again), time_over_bp(**again))
    assert words.format(*figures) in said


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
    assert f"`sid-parallel` {parallel:.2f} of the time of one (bound {of_parallel:.2f})" in said
    assert f"`sid-pipelined` {pipelined:.2f} (bound {of_pipelined:.2f})" in said
    assert f"the best of BP's schedules, `{best}`, {schedules[best]:.2f}" in said


def test_what_it_says_of_label_noise_is_what_the_records_give() -> None:
    def mean(method: str, alpha: float | None, epochs: int) -> str:
        found = [
            record.accuracy.test_last
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
        "after 100 epochs BP is at {} %, with label smoothing {}, deep supervision {}, SID {}; after 10 epochs "
        "{}, {}, {} and {}".format(*long, *short)
        in said
    )


def test_files_that_it_names_exist() -> None:
    for path in re.findall(r"\]\(((?!https)[^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_suite_of_ones_own_is_legal(tmp_path: Path) -> None:
    (suite,) = (text for text in blocks("toml") if "[[grid]]" in text)
    (tmp_path / "own.toml").write_text(suite)
    assert len(load_sweep(str(tmp_path / "own.toml")).cells) == 12


def test_its_run_and_plan_commands_are_legal() -> None:
    commands = re.findall(r"sid-bench (?:run|plan) ([\w.-]+)([^\n`#]*)", README)
    assert len(commands) >= 8
    for suite, rest in commands:
        overrides = re.findall(r"--set (\S+)", rest)
        only = re.findall(r"--only (\S+)", rest)
        load_sweep(suite, [override for override in overrides if "local-label" not in override], only)


def test_the_core_example_runs() -> None:
    (example,) = (text for text in blocks("python") if "import cascade" in text)
    names: dict[str, object] = {}
    exec(example, names)
    assert float(str(names["loss"]).partition("(")[2].rstrip(")")) > 0


def test_the_example_of_a_pipeline_runs() -> None:
    (example,) = (text for text in blocks("python") if "Pipeline" in text)
    assert len([line for line in example.splitlines() if line]) <= 10
    names: dict[str, Any] = {}
    exec(example, names)
    assert float(names["loss"]) > 0
    assert names["prediction"].shape == (8,)
    assert len(names["network"].local_modules) == 4
    assert all(parameter.grad is not None for parameter in names["network"].parameters())


def test_the_example_of_several_ranks_runs_under_torchrun(tmp_path: Path) -> None:
    (example,) = (text for text in blocks("python") if "rank_part" in text)
    assert len([line for line in example.splitlines() if line]) <= 25
    (tmp_path / "train.py").write_text(example)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    result = subprocess.run(
        [*command, str(tmp_path / "train.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    said = re.findall(r"rank (\d) had (\d) modules; loss (\d+\.\d+)", result.stdout)
    assert sorted(rank for rank, *_ in said) == ["0", "1"]
    assert sum(int(modules) for _, modules, _ in said) == 5
    assert len({loss for *_, loss in said}) == 1


def test_the_example_of_a_training_rule_runs_as_another_packages_plug_in(tmp_path: Path) -> None:
    (rule,) = (text for text in blocks("python") if "USES_ALPHA" in text)
    (entry,) = (text for text in blocks("toml") if "entry-points" in text)
    ((name, module),) = tomllib.loads(entry)["project"]["entry-points"]["sid_bench.methods"].items()
    package, _, file = module.partition(".")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").touch()
    (tmp_path / package / f"{file}.py").write_text(rule)
    metadata = tmp_path / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[sid_bench.methods]\n{name} = {module}\n")
    command = [sys.executable, "-m", "bench", "run", "smoke", "--set", f"method=bp,{name}", "--set", "passes=memory"]
    result = subprocess.run(
        [*command, "--out", str(tmp_path / "out.jsonl")],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    records = read_records(tmp_path / "out.jsonl").records
    assert [record.cell.method for record in records] == ["bp", name]
    assert all(record.status == "ok" for record in records)


def test_the_terminal_shows_the_method_of_every_row(tmp_path: Path) -> None:
    file = ROOT / "results" / "reference" / "default.jsonl"
    command = [sys.executable, "-m", "bench", "report", str(file), "--out", str(tmp_path / "page.html")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    costs, accuracies = shown.split("accuracy", 1)
    for part, methods in ((costs, ("sid-vectorised", "bp-checkpoint")), (accuracies, ("deep-supervision", "bp"))):
        for method in methods:
            assert re.search(rf"^{method} +\S", part, flags=re.MULTILINE), part
    assert "sid-vectorised" not in accuracies  # a row without a number
