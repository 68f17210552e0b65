"""What a view that recomputes activations shares with its network, what it holds, and what it refuses."""

import copy
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from recomputed_networks import BATCH, CLASSES, WIDTH, assert_same, backpropagation, build
from torch import Tensor, nn

import sid_core.steps.stacked
import sid_core.steps.streamed
from sid_core import BeliefNetwork, Cascade, Pipeline, cascade, linear_trunk, recomputed, streamed_step, vectorised_step


@pytest.mark.parametrize("name", ["cascade", "odd", "pipeline"])
def test_a_view_has_the_parameters_the_state_and_the_training_mode_of_the_network(name: str) -> None:
    network, images, _ = build(name)
    before = dict(network.named_modules())
    view = recomputed(network, trunk=True, modules=True)
    assert type(view) is type(network)
    assert dict(network.named_modules()) == before
    assert all(one is other for one, other in zip(view.parameters(), network.parameters(), strict=True))
    assert list(view.state_dict()) == list(network.state_dict())
    view.load_state_dict({key: torch.ones_like(value) for key, value in network.state_dict().items()})
    assert all(bool((value == 1).all()) for value in network.state_dict().values())
    view.eval()
    assert not any(part.training for part in network.trunk.modules())
    assert not any(part.training for part in network.local_modules.modules() if part is not network.local_modules)
    assert torch.equal(view(images), network.eval()(images))
    network.train()
    torch.manual_seed(0)
    trained = network(images)
    torch.manual_seed(0)
    assert torch.equal(view(images), trained)


def test_a_copy_of_a_view_is_independent_of_the_network() -> None:
    (network, images, labels), (expected, *_) = build("pipeline"), build("pipeline")
    copied = copy.deepcopy(recomputed(network, trunk=True, modules=True))
    for trained in (expected, copied):
        torch.manual_seed(3)
        backpropagation(trained, images, labels)
    assert_same(copied, expected)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("name", ["cascade", "pipeline"])
def test_without_gradients_everything_runs_once_and_holds_nothing(name: str) -> None:
    network, images, _ = build(name)
    calls = counted_calls(network)
    with torch.no_grad():
        assert not recomputed(network, trunk=True, modules=True)(images).requires_grad
    assert set(calls.values()) == {1}


@pytest.mark.parametrize("name", ["cascade", "pipeline"])
@pytest.mark.parametrize("is_recomputed", [False, True])
def test_what_is_recomputed_runs_twice_and_the_network_itself_once(name: str, is_recomputed: bool) -> None:
    network, images, labels = build(name)
    calls = counted_calls(network)
    view = recomputed(network, trunk=True, modules=True)
    backpropagation(view if is_recomputed else network, images, labels)
    assert set(calls.values()) == {2 if is_recomputed else 1}


def counted_calls(network: BeliefNetwork) -> dict[nn.Module, int]:
    """Counts the calls of each convolution and linear layer, whose weights and inputs every backward pass reads."""
    calls: dict[nn.Module, int] = {layer: 0 for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)}

    def count(layer: nn.Module, _inputs: Any) -> None:
        calls[layer] += 1

    for layer in calls:
        layer.register_forward_pre_hook(count)
    return calls


@pytest.mark.parametrize(("name", "expected"), [("cascade", [8, 0]), ("pipeline", [7, 1])])
def test_after_the_forward_pass_only_what_goes_into_the_parts_is_held(name: str, expected: list[int]) -> None:
    """Of the outputs of ReLUs: none in the cascade, in the pipeline the one that is the input of a block."""
    network, images, labels = build(name)
    held: list[int] = []
    for trained in (network, recomputed(network, trunk=True, modules=True)):
        made: list[weakref.ref[torch.UntypedStorage]] = []
        hooks = [
            layer.register_forward_hook(lambda _layer, _inputs, out, made=made: made.append(storage_of(out)))
            for layer in network.modules()
            if isinstance(layer, nn.ReLU)
        ]
        prediction = trained(images)
        held.append(sum(storage() is not None for storage in made))
        for hook in hooks:
            hook.remove()
        F.cross_entropy(prediction, labels).backward()
    assert held == expected


def storage_of(tensor: Tensor) -> "weakref.ref[torch.UntypedStorage]":
    return weakref.ref(tensor.untyped_storage())


def test_run_module_of_the_view_is_what_a_rule_calls() -> None:
    network, images, labels = build("cascade")
    view = recomputed(network, modules=True)
    called: list[nn.Module] = []
    run_module = view.run_module

    def run_and_tell(module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        called.append(module)
        return run_module(module, belief, features)

    view.__dict__["run_module"] = run_and_tell
    backpropagation(view, images, labels)
    assert called == list(view.local_modules)
    backpropagation(network, images, labels)
    assert len(called) == 3


def test_a_recomputed_trunk_leaves_the_modules_their_closed_form(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, labels = linear_network()
    expected = copy.deepcopy(network)
    view = recomputed(network, trunk=True)
    assert view.local_modules is network.local_modules
    monkeypatch.setattr(sid_core.steps.streamed, "_accumulate_by_autograd", lambda *_: pytest.fail("took autograd"))
    streamed_step(view, images, labels, 0.5)
    streamed_step(expected, images, labels, 0.5)
    assert_same(network, expected)


def test_network_and_view_have_one_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, labels = linear_network()
    expected = copy.deepcopy(network)
    made: list[int] = []
    make = sid_core.steps.stacked.StackedParameters

    def make_and_count(modules: list[nn.Module]) -> sid_core.steps.stacked.StackedParameters:
        made.append(len(modules))
        return make(modules)

    monkeypatch.setattr(sid_core.steps.stacked, "StackedParameters", make_and_count)
    for _ in range(2):
        vectorised_step(network, images, labels, 0.5)
        vectorised_step(recomputed(network, trunk=True), images, labels, 0.5)
    assert made == [4]
    for _ in range(4):
        vectorised_step(expected, images, labels, 0.5)
    assert_same(network, expected)


def linear_network() -> tuple[Cascade, Tensor, Tensor]:
    torch.manual_seed(2)
    trunk = nn.Sequential(*linear_trunk(9, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))
    network = cascade(4, CLASSES, 1, WIDTH, 5, trunk=trunk).double()
    return network, torch.randn(7, 1, 3, 3).double(), torch.randint(CLASSES, (7,))


def test_modules_that_are_recomputed_cannot_be_stacked() -> None:
    network, images, labels = linear_network()
    with pytest.raises(
        ValueError, match=r"modules are recomputed, .*; legal: sid_core\.recomputed without modules=True"
    ):
        vectorised_step(recomputed(network, modules=True), images, labels, 0.5)


@pytest.mark.parametrize("name", ["cascade", "pipeline"])
def test_a_view_of_a_view_recomputes_no_more_than_a_view(name: str) -> None:
    (network, images, labels), (expected, *_) = build(name), build(name)
    view = recomputed(recomputed(network, trunk=True, modules=True), trunk=True, modules=True)
    calls = counted_calls(network)
    for trained in (expected, view):
        torch.manual_seed(3)
        streamed_step(trained, images, labels, 0.4, recompute_trunk=True)
    assert set(calls.values()) == {2}
    assert_same(network, expected)


def test_a_pipelines_stages_are_recomputed_without_their_heads_too() -> None:
    (network, images, labels), (expected, *_) = build("pipeline"), build("pipeline")

    def backbone_and_last_head(network: BeliefNetwork) -> None:
        features = images
        for module in network.local_modules:
            features = module.stage(features)  # type: ignore[operator]
        logits = module.head(network.initial_belief(features), features)  # type: ignore[operator]
        F.cross_entropy(logits, labels).backward()

    calls = counted_calls(network)
    for trained in (expected, recomputed(network, modules=True)):
        torch.manual_seed(3)
        backbone_and_last_head(trained)
    assert_same(network, expected)
    first, second, last = network.local_modules
    assert {calls[layer] for layer in first.stage.modules() if layer in calls} == {2}  # type: ignore[union-attr]
    assert {calls[layer] for layer in last.head.modules() if layer in calls} == {2}  # type: ignore[union-attr]
    assert {calls[layer] for layer in second.head.modules() if layer in calls} == {0}  # type: ignore[union-attr]


def test_a_hook_on_a_stage_with_its_head_is_called_in_both_runs() -> None:
    (network, images, labels), (expected, *_) = build("pipeline"), build("pipeline")
    calls: list[nn.Module] = []
    view = recomputed(network, modules=True)
    for pipeline in (network, expected):
        pipeline.local_modules[0].register_forward_pre_hook(
            lambda module, inputs: calls.append(module) or (inputs[0], 2 * inputs[1])  # type: ignore[func-returns-value]
        )
    for trained in (expected, view):
        torch.manual_seed(3)
        backpropagation(trained, images, labels)
    assert_same(network, expected)
    assert calls == [expected.local_modules[0], network.local_modules[0], network.local_modules[0]]


def test_a_stage_that_writes_into_its_input_is_refused() -> None:
    stages = [nn.Conv2d(2, WIDTH, 1), nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 1))]
    network = Pipeline.with_heads(stages, [WIDTH] * 2, CLASSES, hidden=5)
    images, labels = torch.randn(BATCH, 2, 3, 3), torch.randint(CLASSES, (BATCH,))
    with pytest.raises(ValueError, match="a Sequential writes into its input and so cannot run on it again; legal:"):
        backpropagation(recomputed(network, modules=True), images, labels)


def test_an_attribute_of_a_module_is_found_in_the_view() -> None:
    network, *_ = build("odd")
    network.local_modules[0].colour = "red"  # type: ignore[assignment]
    view = recomputed(network, modules=True)
    assert view.local_modules[0].colour == "red"
    assert view.local_modules[0].linear is network.local_modules[0].linear
    with pytest.raises(AttributeError, match="taste"):
        view.local_modules[0].taste  # noqa: B018
