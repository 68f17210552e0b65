"""Networks that were changed after construction: every step notices, or refuses them."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sid_core import (
    BeliefNetwork,
    Cascade,
    LocalModule,
    alpha_per_module,
    cascade,
    linear_trunk,
    published_step,
    streamed_step,
    vectorised_step,
)

STEPS: dict[str, Callable[..., Tensor]] = {"streamed": streamed_step, "vectorised": vectorised_step}
each_step = pytest.mark.parametrize("step", list(STEPS.values()), ids=list(STEPS))
WIDTH, CLASSES = 6, 5


def network_and_batch(modules: int = 4) -> tuple[Cascade, Tensor, Tensor]:
    torch.manual_seed(0)
    network = cascade(modules, CLASSES, 1, WIDTH, 7, trunk=linear_trunk(9, WIDTH))
    return network.double(), torch.randn(8, 1, 3, 3).double(), torch.randint(CLASSES, (8,))


def assert_as_published(
    step: Callable[..., Tensor],
    network: BeliefNetwork,
    images: Tensor,
    labels: Tensor,
    reference: BeliefNetwork | None = None,
) -> None:
    """Compares ``step`` on ``network`` with published on ``reference``, by default a copy of it."""
    reference = copy.deepcopy(network) if reference is None else reference
    for one in (network, reference):
        one.zero_grad()
    loss, expected = step(network, images, labels, 0.4), published_step(reference, images, labels, 0.4)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def _new_layers(network: Cascade) -> None:
    for module in network.local_modules:
        module.mlp[2] = nn.Linear(7, CLASSES).double()  # type: ignore[index,operator]


def _new_stacks(network: Cascade) -> None:
    for module in network.local_modules:
        module.mlp = LocalModule(WIDTH, CLASSES, 9, 2).double().mlp


def _more_layers(network: Cascade) -> None:
    for module in network.local_modules:
        module.mlp.append(nn.ReLU())  # type: ignore[operator,union-attr]
        module.mlp.append(nn.Linear(CLASSES, CLASSES).double())  # type: ignore[operator,union-attr]


@each_step
@pytest.mark.parametrize("change", [_new_layers, _new_stacks, _more_layers])
def test_parts_exchanged_within_modules_are_trained(
    step: Callable[..., Tensor], change: Callable[[Cascade], None]
) -> None:
    network, images, labels = network_and_batch()
    step(network, images, labels, 0.4)
    change(network)
    assert_as_published(step, network, images, labels)


def _forward_hook(network: Cascade) -> None:
    network.local_modules[1].register_forward_hook(lambda _module, _inputs, logits: 2 * logits)


def _parameter_hook(network: Cascade) -> None:
    network.local_modules[1].mlp[0].weight.register_hook(lambda gradient: 2 * gradient)  # type: ignore[index,union-attr]


def _own_forward(network: Cascade) -> None:
    module = network.local_modules[2]
    module.forward = lambda belief, features: 2 * type(module).forward(module, belief, features)  # type: ignore[method-assign]


def _tied(network: Cascade) -> None:
    torch.manual_seed(1)
    for module in network.local_modules:
        module.mlp = LocalModule(WIDTH, CLASSES, 7, 3).double().mlp
        module.mlp[4] = module.mlp[2]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(_forward_hook, "a hook"), (_parameter_hook, "a hook"), (_own_forward, "a forward of its own"), (_tied, "share")],
)
def test_changes_after_stacking_are_refused_by_vectorised_and_followed_by_streamed(
    spoil: Callable[[Cascade], None], message: str
) -> None:
    network, images, labels = network_and_batch()
    vectorised_step(network, images, labels, 0.4)
    spoil(network)
    with pytest.raises(ValueError, match=message):
        vectorised_step(network, images, labels, 0.4)
    reference, *_ = network_and_batch()  # a copy would lack the hook of a parameter
    spoil(reference)
    assert_as_published(streamed_step, network, images, labels, reference)


class _Activated(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.linear, self.activation = nn.Linear(CLASSES + WIDTH, CLASSES), activation

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        logits: Tensor = self.activation(self.linear(torch.cat((belief, features), 1)))
        return logits


@pytest.mark.parametrize("others", [[nn.Tanh(), nn.Sigmoid()], [nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)]])
def test_modules_that_compute_different_functions_cannot_be_stacked(others: list[nn.Module]) -> None:
    network, images, labels = network_and_batch()
    network.local_modules = nn.ModuleList(_Activated(other).double() for other in others)
    with pytest.raises(ValueError, match="module 1 differs from module 0"):
        vectorised_step(network, images, labels, 0.4)
    assert_as_published(streamed_step, network, images, labels)


def test_modules_in_different_training_modes_cannot_be_stacked() -> None:
    network, images, labels = network_and_batch()
    network.local_modules = nn.ModuleList(_Activated(nn.Dropout(0.5)).double() for _ in range(2))
    network.local_modules[0].eval()
    with pytest.raises(ValueError, match="module 1 differs from module 0"):
        vectorised_step(network, images, labels, 0.4)


def test_with_dropout_vectorised_is_published_with_other_masks() -> None:
    network, images, labels = network_and_batch(1)
    images, labels = images.repeat(25, 1, 1, 1), labels.repeat(25)  # each sample has masks of its own
    network.local_modules = nn.ModuleList([_Activated(nn.Dropout(0.5)).double()])
    weight = network.local_modules[0].linear.weight
    means, losses = [], []
    for step in (vectorised_step, published_step):
        network.zero_grad()
        losses.append(torch.stack([step(network, images, labels, 1.0) for _ in range(120)]).mean())
        means.append(weight.grad.clone() / 120)  # type: ignore[union-attr]
    assert float((means[0] - means[1]).norm() / means[1].norm()) < 0.06
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=0.02)


class _Cooled(Cascade):
    """A cascade with its own ``run_module``."""

    def run_module(self, module: nn.Module, belief: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().run_module(module, belief, features)
        return logits / 3, features


def test_a_network_with_its_own_run_module_has_it_called() -> None:
    plain, images, labels = network_and_batch()
    network = _Cooled(plain.trunk, list(plain.local_modules), CLASSES)
    assert_as_published(streamed_step, network, images, labels)
    with pytest.raises(ValueError, match="called in a way of its own; legal for vectorised_step: a Cascade"):
        vectorised_step(network, images, labels, 0.4)


def test_a_module_of_one_linear_layer_goes_through_autograd() -> None:
    network, images, labels = network_and_batch()
    for module in network.local_modules:
        module.mlp = nn.Sequential(nn.Linear(CLASSES + WIDTH, CLASSES)).double()
    assert_as_published(streamed_step, network, images, labels)
    assert_as_published(vectorised_step, network, images, labels)


@pytest.mark.parametrize("step", [published_step, *STEPS.values()], ids=["published", *STEPS])
@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(3, 1, 3, 3), torch.zeros(2, dtype=torch.int64), r"labels have shape \[2\]; legal: \[3\]"),
        (torch.zeros(3, 1, 3, 3), torch.zeros(3, 1, dtype=torch.int64), r"labels have shape \[3, 1\]; legal: \[3\]"),
        (torch.zeros(3, 1, 3, 3), torch.zeros(3, dtype=torch.int32), "labels have dtype torch.int32; legal: torch.int"),
        (torch.zeros(0, 1, 3, 3), torch.zeros(0, dtype=torch.int64), "images has 0 samples; legal: 1 or more"),
    ],
)
def test_an_illegal_batch_is_refused(step: Callable[..., Tensor], images: Tensor, labels: Tensor, message: str) -> None:
    network, *_ = network_and_batch()
    with pytest.raises(ValueError, match=message):
        step(network.float(), images, labels, 0.4)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("step", [published_step, *STEPS.values()], ids=["published", *STEPS])
def test_a_network_without_trainable_parameters_has_a_loss(step: Callable[..., Tensor]) -> None:
    network, images, labels = network_and_batch()
    expected = published_step(network, images, labels, 0.4)
    network.zero_grad()
    loss = step(network.requires_grad_(False), images, labels, 0.4)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("alpha", [np.array(0.5), np.array([0.5, 0.5]), torch.tensor(0.5)])
def test_alpha_may_be_an_array(alpha: Any) -> None:
    assert alpha_per_module(alpha, 2) == (0.5, 0.5)


@pytest.mark.parametrize("sizes", [(0, 5, 7, 1), (6, 5, 0, 1), (6, 5, 7, 0), (6, True, 7, 1)])
def test_a_local_module_with_an_illegal_size_is_refused(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="legal: integers of 1 or more"):
        LocalModule(*sizes)


def test_updates_in_turn_free_gradients_of_parameters_that_no_optimizer_has() -> None:
    network, images, labels = network_and_batch()
    optimizers = [torch.optim.SGD([module.mlp[0].weight], 0.1) for module in network.local_modules]  # type: ignore[index,union-attr]
    streamed_step(network, images, labels, 0.4, optimizers=optimizers)
    assert all(parameter.grad is None for parameter in network.local_modules.parameters())
