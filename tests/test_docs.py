"""Every command and every example of the documentation works."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from docs_pages import PAGES, ROOT, assert_commands_run, blocks, commands, sid_bench, write_files
from torch import nn

from bench.config.sweep import load_sweep
from sid_core import BeliefNetwork, Pipeline, cascade, linear_trunk

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results file of ``run smoke``, which several pages begin with."""
    folder = tmp_path_factory.mktemp("smoke")
    ((code, output, errors),) = sid_bench(folder, [({}, ["run", "smoke"])])
    assert code == 0, errors
    assert "4 cells measured, 4 ok, 0 stored before" in output
    return folder / "results" / "smoke.jsonl"


@each_page
@pytest.mark.long
def test_its_commands_run(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    everything = request.config.getoption("--slow")
    is_shared = not everything and ({}, ["run", "smoke"]) in commands(page)
    smoke = request.getfixturevalue("smoke") if is_shared else None
    assert_commands_run(page, tmp_path, everything=everything, smoke=smoke)


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(((?!https)[^)#]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_the_readme_lists_every_page() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"(docs/{page.name})" in readme


@each_page
def test_its_suites_are_legal(page: Path, tmp_path: Path) -> None:
    for number, text in enumerate(block for block in blocks(page, "toml") if "[[grid]]" in block):
        suite = tmp_path / f"own_{number}.toml"
        suite.write_text(text, encoding="utf-8")
        assert load_sweep(str(suite)).cells


def test_the_core_example_runs() -> None:
    (example,) = (text for text in blocks(ROOT / "docs" / "core.md", "python") if "import cascade" in text)
    names: dict[str, object] = {}
    exec(example, names)
    assert float(str(names["loss"]).partition("(")[2].rstrip(")")) > 0


def test_the_example_of_a_pipeline_runs() -> None:
    (example,) = (text for text in blocks(ROOT / "docs" / "core.md", "python") if "Pipeline" in text)
    assert len([line for line in example.splitlines() if line]) <= 10
    names: dict[str, Any] = {}
    exec(example, names)
    assert float(names["loss"]) > 0
    assert names["prediction"].shape == (8,)
    assert len(names["network"].local_modules) == 4
    assert all(parameter.grad is not None for parameter in names["network"].parameters())


def networks() -> list[BeliefNetwork]:
    """A cascade and a pipeline of three modules."""
    stages = [nn.Conv2d(channels, 4, 3, padding=1) for channels in (1, 4, 4)]
    return [
        cascade(3, classes=5, channels=1, feature_dim=6, trunk=linear_trunk(64, 6)),
        Pipeline.with_heads(stages, widths=[4, 4, 4], classes=5),
    ]


def test_the_table_of_what_a_rule_can_use_is_true() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    table = page.partition("### What a rule can use")[2].partition("###")[0]
    names = set(re.findall(r"^\| `network\.(\w+)", table, re.MULTILINE))
    assert {name for name in names if not hasattr(networks()[0], name)} == set()
    assert {name for name in vars(BeliefNetwork) if not name.startswith("_")} - {"forward"} <= names
    images = torch.randn(2, 1, 8, 8)
    for network, feature_shape in zip(networks(), ((2, 6), (2, 4, 8, 8)), strict=True):
        is_pipeline = isinstance(network, Pipeline)
        features = network.trunk(images)
        belief = network.initial_belief(features)
        assert (features is images) == is_pipeline
        assert belief.tolist() == [[pytest.approx(0.2)] * 5] * 2
        logits, given = network.run_module(network.local_modules[0], belief, features)
        assert (logits.shape, given.shape) == ((2, 5), feature_shape)
        assert (given is features) != is_pipeline
        assert given.requires_grad
        assert network.hand_on(given).requires_grad != is_pipeline
        assert [one.shape for one in network.logits_by_module(images)] == [(2, 5)] * 3
        assert network(images).shape == (2, 5)
        assert network.classes == 5
        assert (
            all(hasattr(module, "head") and hasattr(module, "stage") for module in network.local_modules) == is_pipeline
        )


def test_the_example_of_a_check_prints_what_the_page_shows(tmp_path: Path) -> None:
    page = ROOT / "docs" / "methods.md"
    write_files(page, tmp_path)
    (shown,) = (text for text in blocks(page, "text") if text.startswith("check "))
    ((code, output, _),) = sid_bench(tmp_path, [({}, ["check", "my_rules.py:last_module_only"])])
    assert (code, output) == (1, shown)


@pytest.mark.long
def test_the_example_of_several_ranks_runs_under_torchrun(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "docs" / "ranks.md", "python")
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


@pytest.mark.long
@pytest.mark.parametrize(("change", "code"), [("", 0), ("    kept = images * 1.0\n", 1)])
def test_the_workflow_for_a_rule_of_ones_own_judges_its_bytes(tmp_path: Path, change: str, code: int) -> None:
    page = ROOT / "docs" / "gate.md"
    write_files(page, tmp_path)
    (workflow,) = (yaml.safe_load(text) for text in blocks(page, "yaml") if "rule-before" in text)
    ((script,),) = [[step["run"] for step in workflow["jobs"]["bytes"]["steps"] if "compare" in step.get("run", "")]]
    (before,) = (rest for _, rest in commands(page) if "results/rule-before.jsonl" in rest and rest[0] == "run")
    lines = [shlex.split(line) for line in script.replace("\\\n", " ").splitlines()]
    assert [line[:2] for line in lines] == [["sid-bench", "run"], ["sid-bench", "compare"]]
    assert [word.replace("before", "after") for word in before] == lines[0][1:]
    ((measured, _, errors),) = sid_bench(tmp_path, [({}, before)])
    assert measured == 0, errors
    rule = tmp_path / "rule.py"
    rule.write_text(rule.read_text().replace("    loss.backward()", f"{change}    loss.backward()"))
    summary = str(tmp_path / "summary.md")
    after = [({}, [word.replace("$GITHUB_STEP_SUMMARY", summary) for word in line[1:]]) for line in lines]
    (_, (judged, _, _)) = sid_bench(tmp_path, after)
    assert judged == code
    assert ("worse" in Path(summary).read_text().splitlines()[0]) == bool(code)


@pytest.mark.long
def test_the_row_of_a_package_is_a_method(tmp_path: Path) -> None:
    page = ROOT / "docs" / "methods.md"
    write_files(page, tmp_path)
    metadata = tmp_path / "my_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    text = "\n".join(blocks(page, "toml"))
    entries = re.findall(r'\[project\.entry-points\."([^"]+)"\]\n(\w+) = "([^"]+)"', text)
    assert [group for group, *_ in entries] == ["sid_bench.methods", "sid_bench.axes"]
    written = "".join(f"[{group}]\n{name} = {value}\n" for group, name, value in entries)
    (metadata / "entry_points.txt").write_text(written)
    ended = subprocess.run(
        [sys.executable, "-m", "bench", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert re.search(
        r"^smoothed +cross-entropy with label smoothing 1 - alpha \[my_package\]", ended.stdout, re.MULTILINE
    )
    assert re.search(r"^temperature +a number above 0", ended.stdout, re.MULTILINE)
