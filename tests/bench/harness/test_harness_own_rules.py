"""Rules of a user's own that are wrong in the usual ways: what is returned, gradients that are forgotten, NaN."""

import re
from pathlib import Path

import pytest
import torch
from command_line import RunCli
from harness_tools import TINY
from hypothesis import given
from hypothesis import strategies as st
from one_cell import measure_cell

from bench.config.check import make_cell
from bench.errors import ConfigError
from bench.execute.continued import continue_cells
from bench.execute.fork_executor import ForkServerExecutor
from bench.machine.environment import machine_environment
from bench.store.file import read_records
from bench.store.journal import Journal
from bench.store.record import Record
from bench.train.losses import loss_of_rule

RULES = '''
"""Rules."""

import torch.nn.functional as F


def _loss(network, images, labels, **keywords):
    loss = F.cross_entropy(network(images), labels, **keywords)
    loss.sum().backward(retain_graph=True)
    return loss


def whole(network, images, labels, objective):
    return _loss(network, images, labels)


def nothing(network, images, labels, objective):
    _loss(network, images, labels)


def number(network, images, labels, objective):
    return _loss(network, images, labels).item()


def vector(network, images, labels, objective):
    return _loss(network, images, labels, reduction="none").detach()


def raises(network, images, labels, objective):
    return {}["temperature"]


def forgets(network, images, labels, objective):
    return F.cross_entropy(network(images), labels).detach()


def first(network, images, labels, objective):
    features = network.trunk(images)
    logits, _ = network.run_module(network.local_modules[0], network.initial_belief(features), features)
    loss = F.cross_entropy(logits, labels)
    loss.backward()
    return loss.detach()


def changes(network, images, labels, objective):
    loss = whole(network, images, labels, objective)
    for parameter in network.local_modules[0].parameters():
        parameter.data.mul_(0.9)
    return loss.sum().detach()


def overwrites(network, images, labels, objective):
    network.zero_grad()
    return whole(network, images, labels, objective)


def nan(network, images, labels, objective):
    loss = F.cross_entropy(network(images), labels) * float("nan")
    loss.backward()
    return loss.detach()
'''


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.py"
    path.write_text(RULES)
    return path


def measured(rules: Path, name: str, executor: ForkServerExecutor, **axes: object) -> Record:
    cell = make_cell(TINY | {"method": f"{rules}:{name}", "depth": 2, "modules": 2, "passes": ["memory"]} | axes)
    return measure_cell(cell, executor)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "the rule returns None; legal: the loss, a tensor of shape []"),
        ("number", ", of type float; legal: the loss, a tensor of shape []"),
        ("vector", "the rule returns a tensor of shape ["),
    ],
)
@pytest.mark.parametrize("parts", [None, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.long
def test_what_a_rule_returns_is_checked_in_every_pass(
    rules: Path, executor: ForkServerExecutor, name: str, message: str, parts: int | None
) -> None:
    for passes in (["memory"], ["latency"], ["accuracy"]):
        record = measured(rules, name, executor, passes=passes, micro_batches=parts)
        assert record.status == "crashed"
        assert message in str(record.message)
        assert record.attempts == 1


def test_the_message_of_a_rule_that_raises_names_its_line(rules: Path, executor: ForkServerExecutor) -> None:
    line = 1 + RULES.splitlines().index('    return {}["temperature"]')
    assert measured(rules, "raises", executor).message == f"KeyError: 'temperature' (rules.py:{line}, in raises)"


@pytest.mark.parametrize("axis", ["network", "dataset"])
def test_the_message_of_a_network_or_data_that_raise_names_their_line(
    tmp_path: Path, executor: ForkServerExecutor, axis: str
) -> None:
    file = tmp_path / "own.py"
    file.write_text("def make(*arguments):\n    return {}['temperature']\n")
    record = measure_cell(make_cell(TINY | {"passes": ["memory"]}).model_copy(update={axis: f"{file}:make"}), executor)
    assert record.status == "crashed"
    assert str(record.message).endswith("KeyError: 'temperature' (own.py:2, in make)")


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("whole", None),
        ("forgets", r"(\d+) of \1 parameters have no gradient after a step: .* and \d+ more"),
        ("first", r"\d+ of \d+ parameters have no gradient after a step: local_modules\.1\."),
    ],
)
@pytest.mark.parametrize("passes", [["memory"], ["accuracy"]])
def test_a_forgotten_gradient_is_in_the_record(
    rules: Path, executor: ForkServerExecutor, name: str, fault: str | None, passes: list[str]
) -> None:
    record = measured(rules, name, executor, passes=passes)
    assert record.status == "ok"
    found = record.environment["doctor"].get("training rule")
    if fault is None:
        assert found is None
    else:
        assert re.match(fault, found)


@pytest.mark.parametrize("passes", [["memory"], ["accuracy"]])
def test_a_rule_that_changes_parameters_itself_is_told(
    rules: Path, executor: ForkServerExecutor, passes: list[str]
) -> None:
    found = measured(rules, "changes", executor, passes=passes).environment["doctor"]["training rule"]
    assert re.match(r"(\d+) of \d+ parameters are changed by the rule, not by the optimizer: local_modules\.0\.", found)


@pytest.mark.parametrize(
    ("name", "parts", "is_told"), [("overwrites", 2, True), ("overwrites", None, False), ("whole", 2, False)]
)
def test_a_rule_that_overwrites_gradients_is_told_with_micro_batches(
    rules: Path, executor: ForkServerExecutor, name: str, parts: int | None, is_told: bool
) -> None:
    found = measured(rules, name, executor, micro_batches=parts).environment["doctor"].get("training rule")
    assert (found is not None) == is_told
    assert found is None or "lose the gradient that they have before the rule" in found


@pytest.mark.parametrize("method", ["bp-plain", "sid-streamed-in-turn"])
def test_rules_of_sid_bench_may_leave_heads_untrained(executor: ForkServerExecutor, method: str) -> None:
    axes = {"network": "pipeline-linear", "dataset": "random", "image_size": 4, "modules": 2, "depth": 2}
    record = measure_cell(make_cell(TINY | axes | {"method": method, "passes": ["memory"]}), executor)
    assert "training rule" not in record.environment["doctor"]


@pytest.mark.long
def test_run_and_report_tell_of_it(rules: Path, measuring_cli: RunCli, tmp_path: Path) -> None:
    out, page = tmp_path / "own.jsonl", tmp_path / "own.html"
    axes = TINY | {"method": f"bp,{rules}:forgets,{rules}:nan", "passes": "memory,accuracy", "depth": 2, "modules": 2}
    options = [text for name, value in axes.items() for text in ("--set", f"{name}={value}")]
    ended = measuring_cli("run", *options, "--out", out)
    assert ended.exit_code == 0, ended.stderr
    assert f"warning: {rules}:forgets: " in ended.stderr
    assert "parameters have no gradient after a step" in ended.stderr
    assert f"warning: {rules}:nan: training diverged in 1 cell: " in ended.stderr
    assert "warning: bp" not in ended.stderr
    assert re.search(r" 1 epoch\b", ended.stdout)
    assert len(read_records(out).records) == 3
    ended = measuring_cli("report", out, "--out", page)
    for text in ("check whether it forgets a gradient", "training diverged"):
        assert text in page.read_text()
        assert text in ended.stderr


@given(
    shape=st.lists(st.integers(0, 3), max_size=3),
    needs_gradient=st.booleans(),
    other=st.none() | st.floats() | st.text() | st.tuples(st.integers()),
)
def test_a_loss_is_a_tensor_without_dimensions_and_without_a_graph(
    shape: list[int], needs_gradient: bool, other: object
) -> None:
    what = "None" if other is None else f"of type {type(other).__name__}"
    with pytest.raises(ConfigError, match=f"{what}; legal: the loss"):
        loss_of_rule(other)
    loss = torch.zeros(shape, requires_grad=needs_gradient) * 1
    if shape:
        with pytest.raises(ConfigError, match="legal: the loss, a tensor of shape"):
            loss_of_rule(loss)
    else:
        assert not loss_of_rule(loss).requires_grad


@pytest.mark.long
def test_a_rule_that_has_changed_since_it_was_measured_is_told(
    rules: Path, measuring_cli: RunCli, tmp_path: Path
) -> None:
    out, other = tmp_path / "own.jsonl", tmp_path / "other.jsonl"
    axes = TINY | {"method": f"bp,{rules}:whole", "passes": "memory"}
    options = [text for name, value in axes.items() for text in ("--set", f"{name}={value}")]
    measured_first = measuring_cli("run", *options, "--out", out)
    again = measuring_cli("run", *options, "--out", out)
    assert measured_first.exit_code == again.exit_code == 0
    assert "has changed" not in measured_first.stderr + again.stderr
    rules.write_text(RULES + "# another version")
    ended = measuring_cli("run", *options, "--out", out)
    assert ended.exit_code == 0
    assert f"warning: {rules} has changed since 1 cell" in " ".join(ended.stderr.split())
    assert "2 stored before" in ended.stdout

    assert measuring_cli("run", *options, "--out", other).exit_code == 0
    compared = measuring_cli("compare", out, other)
    assert f"{rules} is another file in the second: SHA-256 " in " ".join(compared.output.split())
    assert "machines" not in compared.output
    versions = [
        record.environment["own_files"][str(rules)]
        for file in (out, other)
        for record in read_records(file).records[1:]
    ]
    assert [len(version) for version in versions] == [12, 12]
    assert "own_files" not in read_records(out).records[0].environment


def test_what_was_measured_in_part_by_another_version_begins_anew(tmp_path: Path, rules: Path) -> None:
    cell = make_cell(TINY | {"method": f"{rules}:whole", "passes": ["memory"]})
    entry = {"environment": machine_environment() | {"own_files": {str(rules): "0" * 12}}, "seconds": 1.0}
    journal = Journal(tmp_path / "own.jsonl", [])
    journal.append(cell.id, entry)
    _, notes = continue_cells([cell], "suite", journal)
    assert len(notes) == 1
    assert notes[0].startswith("begins anew: ")
    assert notes[0].endswith(f"but {rules} has changed since")
