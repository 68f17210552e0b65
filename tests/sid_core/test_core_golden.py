"""The steps compared with numbers that the authors' public code gave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core import Cascade, cascade, published_step, streamed_step, vectorised_step

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = sorted(GOLDEN.glob("*.npz"))

Step = Callable[[Cascade, Tensor, Tensor, float], Tensor]


def streamed_through_autograd(network: Cascade, images: Tensor, labels: Tensor, alpha: float) -> Tensor:
    return streamed_step(network, images, labels, alpha, closed_form=False)


def backpropagation(network: Cascade, images: Tensor, labels: Tensor, _alpha: float) -> Tensor:
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.detach()


SID_STEPS: dict[str, Step] = {
    "published": published_step,
    "streamed": streamed_step,
    "streamed through autograd": streamed_through_autograd,
    "vectorised": vectorised_step,
}
# Each training rule, with the prefix of its numbers in the golden files.
ALL_STEPS = [pytest.param(step, "", id=name) for name, step in SID_STEPS.items()]
ALL_STEPS.append(pytest.param(backpropagation, "bp_", id="backpropagation"))


class Golden:
    """One golden file."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
        self.meta: dict[str, Any] = json.loads(str(arrays.pop("meta")))
        self.tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def group(self, prefix: str) -> list[Tensor]:
        """The tensors under ``prefix``, which are stored in the order of the parameters."""
        return [tensor for name, tensor in self.tensors.items() if name.startswith(f"{prefix}/")]

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self["x"], self["y"], strict=True))

    def tiny_trunk(self) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(self.meta["in_channels"], 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, self.meta["feature_dim"]),
        )

    def network(self, trunk: nn.Module | None) -> Cascade:
        meta = self.meta
        return cascade(
            meta["num_modules"],
            meta["num_classes"],
            meta["in_channels"],
            meta["feature_dim"],
            meta["hidden"],
            trunk=trunk,
        )

    def copy_initial_weights(self, network: Cascade) -> Cascade:
        with torch.no_grad():
            for parameter, initial in zip(network.parameters(), self.group("init"), strict=True):
                parameter.copy_(initial)
        return network

    def initial_network(self) -> Cascade:
        return self.copy_initial_weights(self.network(self.tiny_trunk()))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def train(golden: Golden, network: Cascade, step: Step) -> list[float]:
    """Trains on all the batches of the file; returns the loss of each step."""
    optimizer = torch.optim.Adam(network.parameters(), lr=golden.meta["lr"])
    losses = []
    for images, labels in golden.batches():
        optimizer.zero_grad()
        losses.append(float(step(network, images, labels, golden.meta["alpha"])))
        optimizer.step()
    return losses


def assert_gradients_are_golden(network: Cascade, expected: list[Tensor]) -> None:
    for (name, parameter), gradient in zip(network.named_parameters(), expected, strict=True):
        assert parameter.grad is not None, name
        error = float((parameter.grad - gradient).abs().max())
        assert error <= 1e-5 * float(gradient.abs().max()), name


def test_there_are_golden_files() -> None:
    assert len(FILES) >= 3


def test_the_initial_network_predicts_the_authors_logits(golden: Golden) -> None:
    network = golden.initial_network()
    torch.testing.assert_close(network(golden["x"][0]), golden["logits/init"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("step", "prefix"), ALL_STEPS)
def test_the_gradients_of_the_first_step_are_the_authors(golden: Golden, step: Step, prefix: str) -> None:
    network = golden.initial_network()
    images, labels = golden.batches()[0]
    step(network, images, labels, golden.meta["alpha"])
    assert_gradients_are_golden(network, golden.group(f"{prefix}grad0"))


@pytest.mark.parametrize(("step", "prefix"), ALL_STEPS)
def test_training_gives_the_authors_losses_and_logits(golden: Golden, step: Step, prefix: str) -> None:
    network = golden.initial_network()
    losses = train(golden, network, step)
    assert losses == pytest.approx(golden[f"{prefix}loss"].tolist(), rel=1e-5)
    torch.testing.assert_close(network(golden["x"][0]), golden[f"{prefix}logits/final"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("step", SID_STEPS.values(), ids=SID_STEPS.keys())
def test_training_gives_the_authors_weights(golden: Golden, step: Step) -> None:
    network = golden.initial_network()
    train(golden, network, step)
    for (name, parameter), final in zip(network.named_parameters(), golden.group("final"), strict=True):
        torch.testing.assert_close(parameter.detach(), final, rtol=0, atol=1e-4, msg=name)


@pytest.mark.parametrize("step", SID_STEPS.values(), ids=SID_STEPS.keys())
def test_a_trunk_set_after_construction_gives_the_same_gradients(golden: Golden, step: Step) -> None:
    network = golden.network(trunk=None)
    network.trunk = golden.tiny_trunk()
    golden.copy_initial_weights(network)
    images, labels = golden.batches()[0]
    step(network, images, labels, golden.meta["alpha"])
    assert_gradients_are_golden(network, golden.group("grad0"))
