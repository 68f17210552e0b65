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
from bench.train.step import TrainingStep, build_step
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


def findings(method: str, network: str, **axes: object) -> dict[str, Finding]:
    cell = make_cell(check_axes(network) | {"method": method, **axes})
    return {finding.check: finding for finding in try_rule(cell, SHAPE, 10)()}


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
import sys
import torch
import torch.nn.functional as F

calls = 0


def whole(network, images, labels, objective, scale=1):
    loss = F.cross_entropy(network(images), labels) * scale
    loss.backward()
    return loss.detach()


def local(network, images, labels, objective, scale=1):
    features = network.trunk(images)
    belief, total = network.initial_belief(features), 0
    for module in network.local_modules:
        logits, features = network.run_module(module, belief.detach(), network.hand_on(features))
        loss, belief = F.cross_entropy(logits, labels) * scale, logits.softmax(dim=1)
        total = total + loss
    total.backward()
    return total.detach()


def drops(network, images, labels, objective):
    return local(network, F.dropout(images) * 100, labels, objective, 1000)


def drawn(network, images, labels, objective):
    return whole(network, images, labels, objective, int.from_bytes(os.urandom(4), "big"))


def counts(network, images, labels, objective):
    global calls
    calls += 1
    return local(network, images, labels, objective, 1 if calls < 5 else calls)


def nan(network, images, labels, objective):
    return whole(network, images, labels, objective, float("nan"))


def changes(network, images, labels, objective):
    for parameter in network.parameters():
        parameter.data.mul_(0.9)
    return whole(network, images, labels, objective)


def overwrites(network, images, labels, objective):
    network.zero_grad()
    return whole(network, images, labels, objective)


def raises(network, images, labels, objective):
    return {}["temperature"]


def ends(network, images, labels, objective):
    sys.exit(0)


def ends_with_none(network, images, labels, objective):
    sys.exit()


def overwrites_beside(network, images, labels, objective, auxiliary):
    auxiliary.zero_grad()
    auxiliary(torch.ones(1, 1)).sum().backward()
    return local(network, images, labels, objective)


def adds_beside(network, images, labels, objective, auxiliary):
    auxiliary(torch.ones(1, 1)).sum().backward()
    return local(network, images, labels, objective)


from bench.config.methods import Method

beside = [
    Method(name=rule.__name__, summary="with an auxiliary module", rule=rule, auxiliary=lambda: torch.nn.Linear(1, 1))
    for rule in (overwrites_beside, adds_beside)
]
bad_beside, good_beside = beside


def recurrent(shape, classes, width=4, **_):
    from sid_core import cascade, linear_trunk

    network = cascade(3, classes=classes, channels=1, feature_dim=width, hidden=4, trunk=linear_trunk(64, width))
    for place in (1, 2):
        network.local_modules[place] = network.local_modules[0]
    return network


def tied(shape):
    block = torch.nn.Linear(64, 64)
    return [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 64)), block, block]
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


def test_gradients_that_a_rule_overwrites_in_a_module_of_its_own_are_found(faulty: Path) -> None:
    assert findings(f"{faulty}:good_beside", "cascade-linear")[ADDS].holds
    found = findings(f"{faulty}:bad_beside", "cascade-linear")
    assert {check for check, finding in found.items() if not finding.holds} == {ADDS}
    assert "auxiliary.weight" in found[ADDS].reason


@pytest.mark.parametrize("network", ["cascade-linear", "pipeline-conv"])
def test_random_numbers_of_torch_do_not_mislead_the_checks(faulty: Path, network: str) -> None:
    assert all(finding.holds for finding in findings(f"{faulty}:drops", network).values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("drawn", "two runs from one seed differ"),
        ("counts", "two runs from one seed differ"),
        ("nan", "the gradients are not finite"),
    ],
)
def test_where_nothing_can_be_told_nothing_is(faulty: Path, name: str, reason: str) -> None:
    found = findings(f"{faulty}:{name}", "cascade-linear")
    assert {check: finding.reason for check, finding in found.items() if finding.holds is None} == {
        ADDS: reason,
        IS_LOCAL: reason,
    }
    assert found[GIVES_GRADIENTS].holds == (name != "nan")


def test_modules_that_share_all_their_parameters_are_not_checked(faulty: Path) -> None:
    found = findings("bp", f"{faulty}:recurrent", depth=3, modules=3)[IS_LOCAL]
    assert found.holds is None
    assert found.reason.endswith("none was changed: 2, 3")


@pytest.mark.parametrize(("method", "is_local"), [("bp", False), ("sid-streamed", True)])
def test_a_parameter_that_two_modules_share_does_not_mislead_the_check(
    faulty: Path, method: str, is_local: bool
) -> None:
    assert findings(method, f"{faulty}:tied", depth=3, modules=3)[IS_LOCAL].holds == is_local


def test_a_parameter_that_a_module_shares_with_the_trunk_does_not_mislead_the_check(faulty: Path) -> None:
    cell = make_cell(check_axes("cascade-linear") | {"method": f"{faulty}:local"})

    def make_step() -> TrainingStep:
        step = build_step(cell, SHAPE, 10)
        last = step.network.local_modules[-1]
        last.register_parameter("of_the_trunk", next(step.network.trunk.parameters()))
        return step

    assert crossings(make_step, torch.randn(8, *SHAPE), torch.arange(8)) == Crossings(is_repeatable=True)


def test_the_command_ends_with_0_if_all_holds_and_with_1_if_not(rules: Path, faulty: Path, cli: RunCli) -> None:
    ended = cli("check", f"{rules}/my_streamed_rule.py:local_label_streamed")
    assert ended.exit_code == 0
    assert ended.stdout.count("yes") == 8
    ended = cli("check", f"{faulty}:raises", "--set", "network=cascade-linear")
    assert ended.exit_code == 1
    line = 1 + FAULTY.splitlines().index('    return {}["temperature"]')
    assert f"cascade-linear: the rule fails: KeyError: 'temperature' (faulty.py:{line}, in raises)" in ended.stdout
    assert ended.stdout.count("not checked") == 4


@pytest.mark.parametrize(("name", "code"), [("ends", "0"), ("ends_with_none", "None")])
def test_a_rule_that_ends_the_process_fails(faulty: Path, cli: RunCli, name: str, code: str) -> None:
    ended = cli("check", f"{faulty}:{name}", "--set", "network=cascade-linear")
    assert ended.exit_code == 1
    assert f"the rule fails: it calls sys.exit({code}); legal: a rule that returns its loss" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "unknown method 'nothing'"),
        (["bp-gpipe"], "ranks = 1 for method 'bp-gpipe'; legal: 2 or more"),
        (["bp", "--set", "method=dgl"], "--set method=dgl beside bp; legal: RULE alone"),
        (["bp", "--set", "depth=4,8"], "--set depth=4,8 for a check of a rule; legal: one value"),
        (["bp", "--set", "modules=1"], "modules = 1; legal for a check of a rule: 2 or more"),
        (["bp", "--set", "dataset=image-folder:x"], "dataset = 'image-folder:x'; legal for a check of a rule"),
        (["bp", "--set", "network=cascade-linear,pipline-conv"], "unknown network 'pipline-conv'"),
        (["bp", "--set", "network=1:2"], "network = "),
        (["dgl", "--set", "network=cascade-linear"], "for network 'cascade-linear', a cascade"),
        (["sid-parallel", "--set", "ranks=2"], "ranks = 2; legal for a check of a rule: 1"),
        (["bp", "--set", "device=cuda:99"], "device = 'cuda:99' is not on this machine; legal: cpu"),
    ],
)
def test_what_cannot_be_checked_is_refused(cli: RunCli, arguments: list[str], message: str) -> None:
    ended = cli("check", *arguments)
    assert ended.exit_code == 2, ended.stdout
    assert " ".join(ended.stderr.split()).count(message) == 1
    assert not ended.stdout


def test_a_rule_for_pipelines_is_checked_there(cli: RunCli) -> None:
    ended = cli("check", "dgl")
    assert ended.exit_code == 0
    assert "cascade-linear: not checked: " in ended.stdout
    assert ended.stdout.count("yes") == 4
