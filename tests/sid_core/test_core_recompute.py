"""A trunk that is run twice: published's gradients, one run's random numbers and buffers, less held in between."""

import copy
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sid_core import BeliefNetwork, cascade, published_step, streamed_step
from sid_core.steps.segments import segments_of

CLASSES, WIDTH = 3, 6


class Residual(nn.Module):
    """A trunk that is no sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(18, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = self.first(images.flatten(1))
        return hidden + self.second(hidden.relu())


PARTS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(WIDTH, WIDTH),
    "relu": nn.ReLU,
    "silu in place": lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.SiLU(inplace=True)),
    "dropout": lambda: nn.Dropout(0.4),
    "norm": lambda: nn.BatchNorm1d(WIDTH),
}


def build(parts: list[str], seed: int = 0) -> tuple[BeliefNetwork, Tensor, Tensor]:
    """A cascade in float64 on a trunk of ``parts``, with a batch."""
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(18, WIDTH), *(PARTS[part]() for part in parts))
    network = cascade(3, CLASSES, 2, WIDTH, 5, trunk=trunk).double()
    return network, torch.randn(8, 2, 3, 3).double(), torch.randint(CLASSES, (8,))


def gradients(network: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None for gradient in found)
    return [gradient for gradient in found if gradient is not None]


def run(step: Any, network: BeliefNetwork, images: Tensor, labels: Tensor, **options: Any) -> Tensor:
    """One step from a fixed state of the random numbers; the trunk draws first in every kind of step."""
    torch.manual_seed(5)
    loss: Tensor = step(network, images, labels, 0.4, **options)
    return loss


def assert_same(network: nn.Module, expected: nn.Module) -> None:
    for one, other in zip(gradients(network), gradients(expected), strict=True):
        assert float((one - other).abs().max()) <= 1e-12 * max(1.0, float(other.abs().max()))
    for one, other in zip(network.buffers(), expected.buffers(), strict=True):
        assert torch.equal(one, other)


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.sampled_from(list(PARTS)), max_size=9), closed_form=st.booleans(), steps=st.integers(1, 2))
def test_any_sequence_gives_publisheds_gradients(parts: list[str], closed_form: bool, steps: int) -> None:
    network, images, labels = build(parts)
    expected = copy.deepcopy(network)
    for _ in range(steps):  # the second adds to the gradients of the first
        loss = run(streamed_step, network, images, labels, recompute_trunk=True, closed_form=closed_form)
        assert float(loss) == pytest.approx(float(run(published_step, expected, images, labels)), rel=1e-12)
        assert_same(network, expected)


def test_no_segment_begins_with_what_writes_into_its_input() -> None:
    network, images, labels = build([])
    layers = [layer for _ in range(6) for layer in (nn.Linear(WIDTH, WIDTH), nn.ELU(inplace=True))]
    network.trunk = nn.Sequential(nn.Flatten(), nn.Linear(18, WIDTH), nn.Identity(), *layers[1:]).double()
    expected = copy.deepcopy(network)
    run(streamed_step, network, images, labels, recompute_trunk=True)
    run(published_step, expected, images, labels)
    assert_same(network, expected)


class Writer(nn.Module):
    """Writes into its input, and does not say so."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mul_(0.9)


@pytest.mark.parametrize(
    "layers",
    [
        [Writer(), nn.Flatten(), nn.Linear(18, WIDTH)],
        [nn.Flatten(), nn.Linear(18, WIDTH), Writer(), nn.Linear(WIDTH, WIDTH)],
        [nn.Flatten(), nn.Linear(18, WIDTH), *[nn.Identity()] * 4, Writer(), nn.Linear(WIDTH, WIDTH), nn.Identity()],
    ],
)
def test_a_trunk_that_writes_into_its_input_unasked_is_refused(layers: list[nn.Module]) -> None:
    network, images, labels = build([])
    network.trunk = nn.Sequential(*layers).double()
    with pytest.raises(ValueError, match="writes into its input and so cannot run on it again; legal:"):
        streamed_step(network, images, labels, 0.4, recompute_trunk=True)


@pytest.mark.parametrize("training", [True, False])
def test_random_numbers_go_on_as_after_one_run(training: bool) -> None:
    network, images, labels = build(["dropout", "norm", "linear", "dropout"])
    network.train(training)
    expected = copy.deepcopy(network)
    run(streamed_step, expected, images, labels)
    state = torch.get_rng_state()
    run(streamed_step, network, images, labels, recompute_trunk=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert_same(network, expected)


def test_a_trunk_that_is_no_sequence_runs_twice() -> None:
    network, images, labels = build(["linear"] * 9)
    network.trunk = Residual().double()
    expected = copy.deepcopy(network)
    calls: list[Tensor] = []
    network.trunk.register_forward_pre_hook(lambda _module, inputs: calls.append(inputs[0]))
    run(streamed_step, network, images, labels, recompute_trunk=True)
    run(published_step, expected, images, labels)
    assert_same(network, expected)
    assert len(calls) == 2


def test_each_module_of_a_sequence_runs_forward_twice() -> None:
    network, images, labels = build(["linear", "relu"] * 4)
    calls: list[int] = []
    for index, layer in enumerate(network.trunk):  # type: ignore[arg-type]
        layer.register_forward_pre_hook(lambda _module, _inputs, index=index: calls.append(index))
    run(streamed_step, network, images, labels, recompute_trunk=True)
    assert calls[:10] == list(range(10))
    assert sorted(calls[10:]) == list(range(10))
    assert calls[10:] != list(range(10))  # the last segment first


def test_a_hook_on_a_sequence_is_called_in_both_runs() -> None:
    network, images, labels = build(["linear", "relu", "linear"])
    expected = copy.deepcopy(network)
    for trunk in (network.trunk, expected.trunk):
        trunk.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    run(streamed_step, network, images, labels, recompute_trunk=True)
    run(published_step, expected, images, labels)
    assert_same(network, expected)


def test_a_trunk_that_does_not_learn_is_run_once() -> None:
    network, images, labels = build(["linear"])
    network.trunk.requires_grad_(False)
    expected = copy.deepcopy(network)
    calls: list[Tensor] = []
    network.trunk.register_forward_hook(lambda _module, _inputs, output: calls.append(output))
    run(streamed_step, network, images, labels, recompute_trunk=True)
    run(published_step, expected, images, labels)
    assert_same(network.local_modules, expected.local_modules)
    assert len(calls) == 1
    assert all(parameter.grad is None for parameter in network.trunk.parameters())


def test_of_the_trunk_only_the_ends_of_segments_are_held_while_the_modules_run() -> None:
    network, images, labels = build(["linear", "relu"] * 8)
    made: list[weakref.ref[torch.UntypedStorage]] = []
    held: list[int] = []
    for layer in network.trunk:  # type: ignore[union-attr]
        layer.register_forward_hook(lambda _module, _inputs, out: made.append(weakref.ref(out.untyped_storage())))
    network.local_modules[0].mlp.register_forward_pre_hook(  # type: ignore[union-attr]
        lambda _module, _inputs: held.append(sum(storage() is not None for storage in made))
    )
    for recompute in (False, True):
        made.clear()
        streamed_step(network, images, labels, 0.4, recompute_trunk=recompute)
    # The images behind nn.Flatten, then what goes into nine linear layers and, the features, into the modules; or the
    # ends of four segments, the last of which are the features.
    assert held == [1 + 9, 1 + 4]


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_autocast_is_the_same_in_both_runs(seed: int) -> None:
    network, images, labels = build(["linear", "relu", "linear", "relu"], seed)
    network.float()
    expected = copy.deepcopy(network)
    with torch.autocast("cpu", torch.bfloat16):
        streamed_step(network, images.float(), labels, 0.4, recompute_trunk=True)
        streamed_step(expected, images.float(), labels, 0.4)
    for one, other in zip(gradients(network), gradients(expected), strict=True):
        assert torch.equal(one, other)


def a_block(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.linear(features).relu()


def sizes_of(trunk: nn.Module) -> list[int]:
    return [len(segment) if isinstance(segment, nn.Sequential) else 1 for segment in segments_of(trunk)]


def test_segments_are_blocks_and_pieces_of_rows_of_layers() -> None:
    layers = [nn.Identity() for _ in range(3)] + [nn.Linear(2, 2) for _ in range(6)]
    assert sizes_of(nn.Sequential(*layers)) == [3, 3, 3]
    assert sizes_of(nn.Sequential(Block(), Block(), nn.Flatten(), nn.Linear(2, 2))) == [1, 3]
    assert sizes_of(nn.Sequential(nn.Linear(2, 2), Block(), Block())) == [1, 1, 1]
    inner = nn.Sequential(*(nn.Linear(2, 2) for _ in range(9)))
    assert sizes_of(nn.Sequential(inner, nn.Flatten())) == sizes_of(nn.Sequential(*inner, nn.Flatten()))  # as VGG's
    assert sizes_of(nn.Sequential(nn.Sequential(Block(), Block()), nn.Sequential(Block(), nn.LayerNorm(2)))) == [
        1,
        1,
        2,
    ]
    assert sizes_of(Residual()) == [1]
    short = [nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(4)]
    assert sizes_of(nn.Sequential(*short)) == [1] * 4  # units of a few layers


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["linear", "relu", "silu in place", "block"]), lambda inner: st.lists(inner, max_size=5)
    )
)
def test_segments_are_the_trunk(drawn: Any) -> None:
    def made(part: Any) -> nn.Module:
        if isinstance(part, list):
            return nn.Sequential(*map(made, part))
        return Block() if part == "block" else PARTS[part]()

    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), made(drawn))
    features = torch.randn(4, WIDTH)
    expected = trunk(features.clone())
    for segment in segments_of(trunk):
        features = segment(features)
    assert torch.equal(features, expected)
    assert sum(len(list(segment.parameters())) for segment in segments_of(trunk)) == len(list(trunk.parameters()))


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.ReLU(inplace=True), nn.Linear(4, WIDTH)],
        [nn.Conv2d(2, 4, 1), a_block(nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1)), nn.Flatten(), nn.Linear(36, WIDTH)],
    ],
    ids=["after a view", "before its activation"],
)
@pytest.mark.parametrize("is_hooked", [False, True])
def test_no_segment_begins_with_what_would_write_into_the_one_before(layers: list[nn.Module], is_hooked: bool) -> None:
    network, images, labels = build([])
    network.trunk = nn.Sequential(*copy.deepcopy(layers)).double()
    expected = copy.deepcopy(network)
    if is_hooked:
        for layer in network.trunk:  # type: ignore[union-attr]
            layer.register_forward_hook(lambda *_: None)
    run(streamed_step, network, images, labels, recompute_trunk=True)
    run(published_step, expected, images, labels)
    assert_same(network, expected)


class Centred(nn.Module):
    """Reads a buffer in training, writes it, and hangs another in the place of a second."""

    mean: Tensor
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        self.calls = self.calls + 1
        centred = features - self.mean
        self.mean.lerp_(features.detach().mean(0), 0.3)
        return centred * (1 + self.mean)


def test_the_second_run_finds_buffers_as_the_first_has_found_them() -> None:
    network, images, labels = build(["linear"])
    network.trunk.append(Centred().double())  # type: ignore[operator]
    expected = copy.deepcopy(network)
    for _ in range(3):
        run(streamed_step, network, images, labels, recompute_trunk=True)
        run(published_step, expected, images, labels)
        assert_same(network, expected)
    assert float(network.trunk[-1].calls) == 3  # type: ignore[index,union-attr]
