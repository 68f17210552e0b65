"""What the vectorised step asks of modules, and that its stack follows them."""

import copy
import io
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from sid_core import Cascade, cascade, linear_trunk, published_step, vectorised_step
from sid_core.steps.stacked import StackedParameters, stacked_parameters


class _Gated(nn.Module):
    """A module without a closed form."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.mix = nn.Linear(classes + width, 2 * classes)
        self.scale = nn.Parameter(torch.ones(classes))

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        logits, gate = self.mix(torch.cat((belief, features), dim=1)).chunk(2, dim=1)
        return logits * gate.sigmoid() * self.scale


def network_and_batch(modules: int = 4, local_modules: list[nn.Module] | None = None) -> tuple[Cascade, Tensor, Tensor]:
    torch.manual_seed(0)
    network = cascade(modules, 5, 1, 6, 7, trunk=linear_trunk(9, 6))
    if local_modules is not None:
        network.local_modules = nn.ModuleList(local_modules)
    return network.double(), torch.randn(8, 1, 3, 3).double(), torch.randint(5, (8,))


def assert_trains_as_published(network: Cascade, reference: Cascade, images: Tensor, labels: Tensor) -> None:
    """Five Adam steps each, then the same weights."""
    optimizers = [torch.optim.Adam(one.parameters(), lr=0.01) for one in (network, reference)]
    for _ in range(5):
        for step, one, optimizer in zip(
            (vectorised_step, published_step), (network, reference), optimizers, strict=True
        ):
            optimizer.zero_grad()
            step(one, images, labels, 0.4)
            optimizer.step()
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunk", [None, 1, 2, 3, 9])
def test_modules_of_any_kind_give_published_s_gradients(chunk: int | None) -> None:
    modules: list[nn.Module] = [_Gated(6, 5) for _ in range(4)]
    network, images, labels = network_and_batch(local_modules=modules)
    reference = copy.deepcopy(network)
    for _ in range(2):  # the second adds to the first
        loss = vectorised_step(network, images, labels, [0.2, 0.4, 0.6, 1.0], chunk=chunk)
        expected = published_step(reference, images, labels, [0.2, 0.4, 0.6, 1.0])
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def test_an_optimizer_s_steps_reach_the_stack() -> None:
    network, images, labels = network_and_batch()
    assert_trains_as_published(network, copy.deepcopy(network), images, labels)


def test_nothing_is_stacked_anew_while_parameters_stay() -> None:
    network, images, labels = network_and_batch()
    vectorised_step(network, images, labels, 0.5)
    stack = stacked_parameters(network.local_modules)
    network.load_state_dict(network_and_batch()[0].state_dict())
    network.zero_grad()
    vectorised_step(network, images, labels, 0.5)
    assert stacked_parameters(network.local_modules) is stack


def _convert(network: Cascade) -> Cascade:
    return network.float().double()


def _save_and_load(network: Cascade) -> Cascade:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    loaded: Cascade = torch.load(file, weights_only=False)
    return loaded


def _exchange(network: Cascade) -> Cascade:
    first, *others = network.local_modules
    network.local_modules = nn.ModuleList([*others, first])
    return network


def _append_to_the_same_list(network: Cascade) -> Cascade:
    network.local_modules.append(copy.deepcopy(network.local_modules[0]))
    return network


@pytest.mark.parametrize("change", [copy.deepcopy, _convert, _save_and_load, _exchange, _append_to_the_same_list])
def test_a_changed_network_is_stacked_again(change: Callable[[Cascade], Cascade]) -> None:
    network, images, labels = network_and_batch()
    vectorised_step(network, images, labels, 0.5)
    network.zero_grad()
    reference = change(copy.deepcopy(network))
    changed = change(network)
    assert_trains_as_published(changed, reference, images, labels)


def test_the_stack_is_the_modules_parameters_themselves() -> None:
    network, *_ = network_and_batch()
    values = [parameter.detach().clone() for parameter in network.local_modules.parameters()]
    stack = StackedParameters(list(network.local_modules))
    assert [torch.equal(now, before) for now, before in zip(network.local_modules.parameters(), values, strict=True)]
    assert stack.names == ["mlp.0.weight", "mlp.0.bias", "mlp.2.weight", "mlp.2.bias"]
    assert [tuple(value.shape) for value in stack.values] == [(4, 7, 11), (4, 7), (4, 5, 7), (4, 5)]
    stack.values[1].fill_(3)
    assert all(bool((module.mlp[0].bias == 3).all()) for module in network.local_modules)  # type: ignore[index,union-attr]


def _wider(network: Cascade) -> None:
    network.local_modules[2] = cascade(1, 5, 1, 6, 8).local_modules[0].double()


def _shared(network: Cascade) -> None:
    network.local_modules[2] = network.local_modules[0]


def _buffered(network: Cascade) -> None:
    for module in network.local_modules:
        module.register_buffer("count", torch.zeros(1))


def _hooked(network: Cascade) -> None:
    network.local_modules[1].register_forward_hook(lambda *_: None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_wider, "module 2 differs"), (_shared, "share a parameter"), (_buffered, "has a buffer"), (_hooked, "a hook")],
)
def test_modules_that_cannot_be_stacked_are_refused_and_nothing_changes(
    spoil: Callable[[Cascade], None], message: str
) -> None:
    network, images, labels = network_and_batch()
    spoil(network)
    with pytest.raises(ValueError, match=message):
        vectorised_step(network, images, labels, 0.5)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("chunk", [0, -1, 1.5, True, "2"])
def test_an_illegal_chunk_is_refused(chunk: object) -> None:
    network, images, labels = network_and_batch()
    with pytest.raises(ValueError, match="chunk = "):
        vectorised_step(network, images, labels, 0.5, chunk=chunk)  # type: ignore[arg-type]


def test_a_smaller_chunk_holds_less() -> None:
    from bench.measure.memory.storages import StorageMeter

    peaks = []
    for chunk in (1, 4, 16):
        network, images, labels = network_and_batch(16)
        vectorised_step(network, images, labels, 0.5, chunk=chunk)
        with StorageMeter(torch.device("cpu")) as meter:
            vectorised_step(network, images, labels, 0.5, chunk=chunk)
        peaks.append(meter.peak)
    assert all(smaller < larger for smaller, larger in pairwise(peaks))


@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_a_batch_of_one_sample_leaves_the_parameters_alone_and_gives_the_published_gradients(chunk: int | None) -> None:
    torch.manual_seed(0)
    network = cascade(3, 4, 1, 5, 6, trunk=linear_trunk(9, 5)).double()
    reference = copy.deepcopy(network)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    images, labels = torch.randn(1, 1, 3, 3).double(), torch.tensor([2])
    loss = vectorised_step(network, images, labels, 0.4, chunk=chunk)
    torch.testing.assert_close(loss, published_step(reference, images, labels, 0.4))
    for parameter, twin, value in zip(network.parameters(), reference.parameters(), before, strict=True):
        assert torch.equal(parameter, value)
        torch.testing.assert_close(parameter.grad, twin.grad)
