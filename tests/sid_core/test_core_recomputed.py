"""A view that recomputes activations: any training rule gives the gradients and the buffers of the network itself."""

from dataclasses import dataclass

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from recomputed_networks import RULES, assert_same, build
from torch import Tensor

from sid_core import BeliefNetwork, recomputed


@dataclass(frozen=True)
class Case:
    """What a rule is run on."""

    network: str
    rule: str
    trunk: bool
    modules: bool
    training: bool
    frozen: int
    seed: int


cases = st.builds(
    Case,
    network=st.sampled_from(["cascade", "odd", "pipeline"]),
    rule=st.sampled_from(list(RULES)),
    trunk=st.booleans(),
    modules=st.booleans(),
    training=st.booleans(),
    frozen=st.sampled_from([0, 0, 0b101, 0b111111, 0b111111111100, 2**10 - 1]),
    seed=st.integers(0, 2**32),
)


def prepared(case: Case) -> tuple[BeliefNetwork, Tensor, Tensor]:
    network, images, labels = build(case.network)
    network.train(case.training)
    for index, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(not case.frozen >> index & 1)
    return network, images, labels


@pytest.mark.long
@settings(deadline=None, max_examples=120)
@given(cases)
def test_every_rule_gives_the_gradients_and_the_buffers_of_the_network(case: Case) -> None:
    network, images, labels = prepared(case)
    expected, *_ = prepared(case)
    view = recomputed(network, trunk=case.trunk, modules=case.modules)
    rule = RULES[case.rule]
    states = []
    for trained in (expected, view):
        torch.manual_seed(case.seed)
        losses = [rule(trained, images, labels) for _ in range(2)]  # the second adds to the first's gradients
        states.append((torch.stack(losses), torch.get_rng_state()))
    assert all(map(torch.equal, *states))
    assert_same(network, expected)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["cascade", "pipeline"])
def test_autocast_is_the_same_in_both_runs(name: str, rule: str) -> None:
    (network, images, labels), (expected, *_) = build(name), build(name)
    network.float(), expected.float()
    for trained in (expected, recomputed(network, trunk=True, modules=True)):
        torch.manual_seed(3)
        with torch.autocast("cpu", torch.bfloat16):
            RULES[rule](trained, images.float(), labels)
    assert_same(network, expected)


def test_a_graph_that_is_kept_runs_backward_twice() -> None:
    (network, images, labels), (expected, *_) = build("odd"), build("odd")
    for trained in (expected, recomputed(network, trunk=True, modules=True)):
        torch.manual_seed(3)
        loss = F.cross_entropy(trained(images), labels)
        loss.backward(retain_graph=True)
        loss.backward()
    assert_same(network, expected)
