"""One optimizer per module, stepped within the step: the same weights, and gradients of one module at a time."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from sid_core import Cascade, cascade, linear_trunk, streamed_step

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]

MODULES = 4
OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": partial(SGD, lr=0.1, momentum=0.9, weight_decay=1e-2),
    "sgd fused": partial(SGD, lr=0.1, momentum=0.9, fused=True),
    "adam": partial(Adam, lr=0.01),
    "adam fused": partial(Adam, lr=0.01, fused=True),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
each_way = pytest.mark.parametrize("closed_form", [True, False], ids=["closed form", "autograd"])


def build() -> tuple[Cascade, Tensor, Tensor]:
    torch.manual_seed(0)
    network = cascade(MODULES, 5, 1, 7, 9, depth=2 * MODULES, trunk=linear_trunk(16, 7))
    return network, torch.randn(6, 6, 1, 4, 4), torch.randint(5, (6, 6))


def optimizers_of(network: Cascade, make: MakeOptimizer = OPTIMIZERS["sgd"]) -> list[Optimizer]:
    return [make(module.parameters()) for module in network.local_modules]


def assert_same_weights(one: Cascade, other: Cascade) -> None:
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@each_optimizer
@each_way
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_weights_equal_those_of_an_update_at_the_end_bit_for_bit(
    make: MakeOptimizer, closed_form: bool, direction: Any
) -> None:
    in_turn, images, labels = build()
    at_the_end, *_ = build()
    step = partial(streamed_step, alpha=[0.2, 0.5, 0.8, 1.0], closed_form=closed_form, direction=direction)
    trunk, rest = make(in_turn.trunk.parameters()), optimizers_of(in_turn, make)
    everything = make(at_the_end.parameters())
    for batch, batch_labels in zip(images, labels, strict=True):
        trunk.zero_grad()
        loss = step(in_turn, batch, batch_labels, optimizers=rest)
        trunk.step()
        everything.zero_grad()
        assert torch.equal(loss, step(at_the_end, batch, batch_labels))
        everything.step()
        assert_same_weights(in_turn, at_the_end)
    assert not torch.equal(next(in_turn.parameters()), next(build()[0].parameters()))


@each_way
def test_gradients_of_one_module_are_held_at_a_time(closed_form: bool) -> None:
    network, images, labels = build()
    optimizers = optimizers_of(network)
    held: list[int] = []

    def count(*_: object) -> None:
        gradients = [parameter.grad for parameter in network.local_modules.parameters()]
        held.append(sum(gradient.nbytes for gradient in gradients if gradient is not None))

    for optimizer in optimizers:
        optimizer.register_step_pre_hook(count)
    streamed_step(network, images[0], labels[0], 0.5, closed_form=closed_form, optimizers=optimizers)
    assert held == [sum(parameter.nbytes for parameter in module.parameters()) for module in network.local_modules]
    assert all(parameter.grad is None for parameter in network.local_modules.parameters())
    assert all(parameter.grad is not None for parameter in network.trunk.parameters())


def test_existing_gradients_are_part_of_the_update() -> None:
    in_turn, images, labels = build()
    at_the_end, *_ = build()
    rest, everything = optimizers_of(in_turn), optimizers_of(at_the_end)
    for network in (in_turn, at_the_end):
        streamed_step(network, images[0], labels[0], 0.5)
    streamed_step(in_turn, images[1], labels[1], 0.5, optimizers=rest)
    streamed_step(at_the_end, images[1], labels[1], 0.5)
    for optimizer in everything:
        optimizer.step()
    assert_same_weights(in_turn, at_the_end)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _, optimizers: optimizers.pop(), "optimizers has 3 entries; legal: one for each of the 4 modules"),
        (lambda _, optimizers: optimizers.reverse(), "optimizer 0 has a parameter that is not of module 0"),
        (
            lambda network, _: setattr(network.local_modules[2], "mlp", network.local_modules[0].mlp),
            "module 2 shares a parameter with one before",
        ),
    ],
)
def test_optimizers_that_are_not_one_per_module_are_refused(spoil: Callable[..., None], message: str) -> None:
    network, images, labels = build()
    optimizers = optimizers_of(network)
    spoil(network, optimizers)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        streamed_step(network, images[0], labels[0], 0.5, optimizers=optimizers)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
