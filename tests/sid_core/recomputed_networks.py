"""Networks whose parts differ when they are run again, and training rules to run on them."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sid_core import BeliefNetwork, Cascade, LocalModule, Pipeline, cascade, published_step, streamed_step

CLASSES, WIDTH, BATCH = 3, 4, 6


def backpropagation(network: BeliefNetwork, images: Tensor, labels: Tensor) -> Tensor:
    loss = F.cross_entropy(network(images), labels)
    loss.backward()
    return loss.detach()


def deep_supervision(network: BeliefNetwork, images: Tensor, labels: Tensor) -> Tensor:
    loss = torch.stack([F.cross_entropy(logits, labels) for logits in network.logits_by_module(images)]).sum()
    loss.backward()
    return loss.detach()


def in_two_parts(network: BeliefNetwork, images: Tensor, labels: Tensor) -> Tensor:
    """Both parts of the batch run forward before either runs backward."""
    losses = [
        F.cross_entropy(network(images[part]), labels[part]) for part in (slice(BATCH // 2), slice(BATCH // 2, None))
    ]
    torch.stack(losses).sum().backward()
    return torch.stack(losses).detach()


RULES: dict[str, Callable[[BeliefNetwork, Tensor, Tensor], Tensor]] = {
    "bp": backpropagation,
    "deep supervision": deep_supervision,
    "in two parts": in_two_parts,
    "published": partial(published_step, alpha=0.4),
    "streamed": partial(streamed_step, alpha=0.4, closed_form=False, direction="reverse"),
}


class Block(nn.Module):
    """A residual block with statistics and random numbers of its own."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True), nn.Dropout(0.3)
        )

    def forward(self, features: Tensor) -> Tensor:
        change: Tensor = self.layers(features)
        return features + change


class OddTrunk(nn.Module):
    """A trunk that is no sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.linear = Block(2), nn.Linear(18, WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.linear(self.block(images).flatten(1)).tanh()
        return features


class OddModule(nn.Module):
    """A module of another kind, with a buffer that it reads, writes and exchanges, and one that it uses twice."""

    mean: Tensor
    same_mean: Tensor
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(CLASSES + WIDTH, CLASSES), nn.BatchNorm1d(CLASSES)
        self.register_buffer("mean", torch.zeros(CLASSES))
        self.register_buffer("same_mean", self.mean)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("missing", None)

    def forward(self, belief: Tensor, features: Tensor) -> Tensor:
        self.calls = self.calls + 1
        hidden = self.linear(torch.cat((belief, features), 1)) - self.mean
        self.same_mean.lerp_(hidden.detach().mean(0), 0.3)
        hidden = F.dropout(hidden, 0.3, self.training)
        logits: Tensor = self.norm(self.norm(hidden * (1 + self.mean)))
        return logits


def build(name: str) -> tuple[BeliefNetwork, Tensor, Tensor]:
    """A network in float64 and a batch."""
    torch.manual_seed(1)
    network: BeliefNetwork
    if name == "pipeline":
        stages = [
            nn.Sequential(nn.Conv2d(2, WIDTH, 3, padding=1), Block(), nn.ReLU(inplace=True), Block()),
            Block(),
            nn.Sequential(nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), nn.Linear(WIDTH, WIDTH)),
        ]
        network = Pipeline.with_heads(stages, [WIDTH] * 3, CLASSES, hidden=5)
        network.local_modules[1].head.mlp.append(nn.Dropout(0.5))  # type: ignore[union-attr, operator]
    elif name == "odd":
        network = Cascade(OddTrunk(), [OddModule(), LocalModule(WIDTH, CLASSES, 5, 2), OddModule()], CLASSES)
    else:
        trunk = nn.Sequential(nn.Conv2d(2, WIDTH, 1), Block(), Block(), nn.Flatten(), nn.Linear(9 * WIDTH, WIDTH))
        network = cascade(3, CLASSES, 2, WIDTH, 5, depth=6, trunk=trunk)
        network.local_modules[1].mlp.insert(2, nn.Dropout(0.5))  # type: ignore[union-attr, operator]
    return network.double(), torch.randn(BATCH, 2, 3, 3).double(), torch.randint(CLASSES, (BATCH,))


def assert_same(network: nn.Module, expected: nn.Module) -> None:
    """Equal gradients and equal buffers, to the last bit."""
    for (name, one), other in zip(network.named_parameters(), expected.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        assert one.grad is None or other.grad is None or torch.equal(one.grad, other.grad), name
    for (name, buffer), same in zip(network.named_buffers(), expected.buffers(), strict=True):
        assert torch.equal(buffer, same), name
