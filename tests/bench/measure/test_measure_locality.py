"""The check of a rule: whether gradients of a module depend on later modules, and what else a rule has to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from command_line import RunCli
from docs_pages import ROOT, write_files
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.cli.check import check_axes
from bench.config.check import make_cell
from bench.config.methods import load_method, method_names
from bench.errors import ConfigError
from bench.measure.locality import Crossings, crossings
from bench.measure.rule_trial import ADDS, GIVES_GRADIENTS, IS_LOCAL, LEAVES_PARAMETERS, Finding, try_rule
from bench.train.step import TrainingStep
from sid_core import BeliefNetwork, cascade, linear_trunk

SHAPE = (1, 8, 8)
# A gradient of an early module of these depends on the weights of a later one, as their papers have it.
NOT_LOCAL = {"deep-supervision", "dfa"}
# These leave the heads of stages to themselves.
LEAVE_HEADS = {"bp-plain", "dfa", "dni", "infopro-authors", "infopro-contrast"}
FEW = {"bp", "bp-step-in-backward", "deep-supervision", "dni", "sid-published", "sid-streamed", "sid-streamed-in-turn"}


def cases() -> Iterator[object]:
    for network in ("cascade-linear", "pipeline-conv"):
        for method in method_names():
            try:
                make_cell(check_axes(network) | {"method": method})
            except ConfigError:
                continue
            marks = [] if method in FEW else [pytest.mark.long]
            yield pytest.param(network, method, marks=marks, id=f"{method}-{network}")


def findings(method: str, network: str) -> dict[str, Finding]:
    cell = make_cell(check_axes(network) | {"method": method})
    return {finding.check: finding for finding in try_rule(cell, SHAPE, 10)}


@pytest.mark.parametrize(("network", "method"), list(cases()))
def test_methods_that_backpropagate_are_not_local_and_the_others_are(network: str, method: str) -> None:
    found = findings(method, network)
    assert found[IS_LOCAL].holds == (not method.startswith("bp") and method not in NOT_LOCAL)
    if load_method(method).updates_within_step:
        assert [found[name].holds for name in (GIVES_GRADIENTS, LEAVES_PARAMETERS, ADDS)] == [None] * 3
        return
    assert found[GIVES_GRADIENTS].holds == (network == "cascade-linear" or method not in LEAVE_HEADS)
    assert found[LEAVES_PARAMETERS].holds
    assert found[ADDS].holds


@settings(max_examples=25)
@given(planted=st.sets(st.tuples(st.integers(1, 4), st.integers(1, 4)).filter(lambda pair: pair[0] < pair[1])))
def test_each_planted_crossing_is_found_and_no_other(planted: set[tuple[int, int]]) -> None:
    def rule(network: BeliefNetwork, images: Tensor, labels: Tensor, _objective: object) -> Tensor:
        features = network.trunk(images)
        belief, loss = network.initial_belief(features), torch.zeros(())
        for module in network.local_modules:
            logits, _ = network.run_module(module, belief.detach(), features)
            loss, belief = loss + F.cross_entropy(logits, labels), logits.softmax(dim=1)
        loss.backward()
        for module, later in planted:
            first = next(network.local_modules[module - 1].parameters())
            assert first.grad is not None
            first.grad += next(network.local_modules[later - 1].parameters()).detach().sum()
        return loss

    def make_step() -> TrainingStep:
        network = cascade(4, classes=3, channels=1, feature_dim=4, hidden=4, trunk=linear_trunk(64, 4))
        return TrainingStep(network, torch.optim.SGD(network.parameters(), lr=0.1), rule, None)

    found = crossings(make_step, torch.randn(8, *SHAPE), torch.arange(8) % 3)
    assert found == Crossings(is_repeatable=True, found=tuple(sorted(planted)))


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    write_files(ROOT / "README.md", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("kept", "lost", "local_on"),
    [
        ("network.hand_on(features)", "features", {"cascade-linear": True, "pipeline-conv": False}),
        ("belief.detach()", "belief", {"cascade-linear": False, "pipeline-conv": False}),
        ("belief.detach()", "belief.detach()", {"cascade-linear": True, "pipeline-conv": True}),
    ],
)
def test_a_rule_that_forgets_to_detach_is_not_local(
    rules: Path, kept: str, lost: str, local_on: dict[str, bool]
) -> None:
    file = rules / "my_rule.py"
    assert kept in file.read_text()
    file.write_text(file.read_text().replace(kept, lost))
    assert {name: findings(f"{file}:local_label", name)[IS_LOCAL].holds for name in local_on} == local_on


FAULTY = """
import os
import torch.nn.functional as F


def whole(network, images, labels, objective, scale=1):
    loss = F.cross_entropy(network(images), labels) * scale
    loss.backward()
    return loss.detach()


def drawn(network, images, labels, objective):
    return whole(network, images, labels, objective, int.from_bytes(os.urandom(4), "big"))


def changes(network, images, labels, objective):
    for parameter in network.parameters():
        parameter.data.mul_(0.9)
    return whole(network, images, labels, objective)


def overwrites(network, images, labels, objective):
    network.zero_grad()
    return whole(network, images, labels, objective)


def raises(network, images, labels, objective):
    return {}["temperature"]
"""


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.py"
    path.write_text(FAULTY)
    return path


@pytest.mark.parametrize(("name", "check"), [("changes", LEAVES_PARAMETERS), ("overwrites", ADDS)])
def test_what_a_rule_must_not_do_is_found(faulty: Path, name: str, check: str) -> None:
    found = findings(f"{faulty}:{name}", "cascade-linear")
    assert [check for check, finding in found.items() if finding.holds is False] == [check, IS_LOCAL]


def test_nothing_is_told_of_a_rule_that_differs_between_two_runs(faulty: Path) -> None:
    found = findings(f"{faulty}:drawn", "cascade-linear")
    assert {check for check, finding in found.items() if finding.holds is None} == {ADDS, IS_LOCAL}


def test_the_command_ends_with_0_if_all_holds_and_with_1_if_not(rules: Path, faulty: Path, cli: RunCli) -> None:
    ended = cli("check", f"{rules}/my_streamed_rule.py:local_label_streamed")
    assert ended.exit_code == 0
    assert ended.stdout.count("yes") == 8
    assert "no " not in ended.stdout.partition("\n")[2].replace("no gradient", "")
    ended = cli("check", f"{faulty}:raises", "--set", "network=cascade-linear")
    assert ended.exit_code == 1
    line = 1 + FAULTY.splitlines().index('    return {}["temperature"]')
    assert f"cascade-linear: the rule fails: KeyError: 'temperature' (faulty.py:{line}, in raises)" in ended.stdout
    assert ended.stdout.count("not checked") == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "unknown method 'nothing'"),
        (["bp-gpipe"], "ranks = 1 for method 'bp-gpipe'; legal: 2 or more"),
        (["bp", "--set", "method=bp"], "--set method with a RULE; legal: one of them"),
        (["bp", "--set", "depth=4,8"], "--set depth=4,8; legal for a check: one value"),
        (["bp", "--set", "modules=1"], "modules = 1; legal for a check of a rule: 2 or more"),
        (["bp", "--set", "dataset=image-folder:x"], "dataset = 'image-folder:x'; legal for a check of a rule"),
        (["dgl", "--set", "network=cascade-linear"], "for network 'cascade-linear', a cascade"),
        (["sid-parallel", "--set", "ranks=2"], "ranks = 2; legal for a check of a rule: 1"),
    ],
)
def test_what_cannot_be_checked_is_refused(cli: RunCli, arguments: list[str], message: str) -> None:
    ended = cli("check", *arguments)
    assert ended.exit_code == 2
    assert message in " ".join(ended.stderr.split())
    assert not ended.stdout


def test_a_rule_for_pipelines_is_checked_there(cli: RunCli) -> None:
    ended = cli("check", "dgl")
    assert ended.exit_code == 0
    assert "cascade-linear: not checked: " in ended.stdout
    assert ended.stdout.count("yes") == 4
