"""One training step of a cell: what all three passes run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from bench.cell import Cell
from bench.methods import AccumulateGradients, load_method, takes_objective
from bench.workloads.networks import build_network
from sid_core import BeliefNetwork
from sid_core.phases import enter

_SGD_MOMENTUM = 0.9

Gradients = Literal["free", "zero"]


class Step(Protocol):
    """What the memory pass needs of a training step: ``network`` has what it trains, and a ``trunk``."""

    @property
    def network(self) -> Any:
        """The network, or a rank's part of it."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Its optimizer."""

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
        """Trains; see :class:`TrainingStep`."""


@dataclass(frozen=True)
class TrainingStep:
    """A network, its optimizer and a training rule; calling it trains on one batch.

    ``gradients`` says what happens to the gradients of the step before: ``free`` (PyTorch's default, the fastest) or
    ``zero`` (the buffers stay, so that a step allocates none of its own). ``rule`` has its objective already;
    ``objective`` is for other methods.
    """

    network: BeliefNetwork
    optimizer: torch.optim.Optimizer
    rule: AccumulateGradients
    alpha: float | Sequence[float] | None
    objective: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
        """Gradients and an optimizer step on ``images`` ``[B, ...]``, ``labels`` ``[B]``; returns the loss, ``[]``."""
        self.optimizer.zero_grad(set_to_none=gradients == "free")
        enter("forward")
        loss = self.rule(self.network, images, labels, self.alpha)
        enter("optimizer")
        self.optimizer.step()
        return loss

    def with_method(self, method: str) -> Self:
        """The step of another ``method`` on the same network and with the same optimizer.

        Raises:
            ConfigError: there is no such method.
        """
        return replace(self, rule=_bound_rule(method, self.objective))


def flush_denormals() -> None:
    """Makes this process treat denormal numbers as zero; call it before torch starts its threads, which inherit it.

    A measured step runs many times on one batch, until its gradients underflow. CPUs handle denormals in microcode:
    BP's step at depth 16 then took eight times as long as at the start, and SID's, whose loss stays above zero, did
    not. That would be a figure of the batch and the processor, not of the method. It does nothing where the processor
    cannot; :func:`bench.environment.torch_environment` records what is in force.
    """
    torch.set_flush_denormal(True)


def build_step(cell: Cell, shape: tuple[int, int, int], classes: int) -> TrainingStep:
    """The training step of ``cell`` for images of ``shape``.

    Raises:
        ConfigError: the network or the method cannot be built for the cell.
    """
    network = build_network(cell, shape, classes)
    if cell.device != "cpu":  # fake tensors, which foretell memory, cannot be moved even to where they are
        network = network.to(cell.device)
    objective = cell.objective()
    optimizer = build_optimizer(cell, network.parameters())
    return TrainingStep(network, optimizer, _bound_rule(cell.method, objective), cell.alpha, objective)


def build_optimizer(cell: Cell, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of ``cell``: fused, which runs one kernel for all parameters and keeps no temporaries."""
    if cell.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=cell.learning_rate, weight_decay=cell.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters, lr=cell.learning_rate, weight_decay=cell.weight_decay, momentum=_SGD_MOMENTUM, fused=True
    )


def _bound_rule(name: str, objective: Mapping[str, Any]) -> AccumulateGradients:
    """The rule of the method called ``name`` as a function of four arguments."""
    method = load_method(name)
    rule = method.accumulate_gradients
    return partial(rule, **objective) if takes_objective(method) else rule
