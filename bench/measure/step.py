"""One training step of a cell: what all three passes run."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor

from bench.cell import Cell, Precision
from bench.measure.compiled import all_compiled, compile_modules
from bench.methods import AccumulateGradients, load_method, takes_objective
from bench.workloads.networks import build_network
from sid_core import BeliefNetwork
from sid_core.phases import enter

_SGD_MOMENTUM = 0.9


@dataclass(frozen=True)
class TrainingStep:
    """A network, its optimizer and a training rule; calling it trains on one batch.

    ``gradients`` says what happens to the gradients of the step before: ``free`` (PyTorch's default, the fastest) or
    ``zero`` (the buffers stay, so that a step allocates none of its own). ``rule`` has its objective already;
    ``objective`` is for other methods.

    In ``bfloat16`` the rule runs under autocast, and the optimizer on float32 parameters and gradients outside of it.
    PyTorch advises to run backward outside, too; rules run forward and backward in one call, and nothing changes with
    it: autocast chooses types for operators that get wider ones, and those of a backward pass get the types that the
    forward pass has chosen. Without autocast's cache, which would hold narrow copies of all weights until the rule
    ends, also where it is done with them.

    Where it ``is_compiled``, trunk and modules run through torch.compile, and the rule and the optimizer around them as
    ever. SID then goes through autograd, since its closed form calls no module.
    """

    network: BeliefNetwork
    optimizer: torch.optim.Optimizer
    rule: AccumulateGradients
    alpha: float | Sequence[float] | None
    objective: Mapping[str, Any] = field(default_factory=dict)
    precision: Precision = "float32"
    is_compiled: bool = False

    def __call__(self, images: Tensor, labels: Tensor, gradients: Literal["free", "zero"] = "free") -> Tensor:
        """Gradients and an optimizer step on ``images`` ``[B, ...]``, ``labels`` ``[B]``; returns the loss, ``[]``."""
        self.optimizer.zero_grad(set_to_none=gradients == "free")
        enter("forward")
        with self.autocast(images.device):
            loss = self.rule(self.network, images, labels, self.alpha)
        enter("optimizer")
        self.optimizer.step()
        return loss

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the network runs on ``device``."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)

    def timed(self) -> AbstractContextManager[object]:
        """The context of steps that are timed: it is an error if anything has to be compiled in it."""
        return all_compiled() if self.is_compiled else nullcontext()

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
    if cell.compile:
        compile_modules(network)
    objective = cell.objective()
    # Fused optimizers run one kernel for all parameters and keep no temporaries, on the CPU and on CUDA.
    optimizer: torch.optim.Optimizer
    if cell.optimizer == "adam":
        optimizer = torch.optim.Adam(
            network.parameters(), lr=cell.learning_rate, weight_decay=cell.weight_decay, fused=True
        )
    else:
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=cell.learning_rate,
            weight_decay=cell.weight_decay,
            momentum=_SGD_MOMENTUM,
            fused=True,
        )
    return TrainingStep(
        network, optimizer, _bound_rule(cell.method, objective), cell.alpha, objective, cell.precision, cell.compile
    )


def _bound_rule(name: str, objective: Mapping[str, Any]) -> AccumulateGradients:
    """The rule of the method called ``name`` as a function of four arguments."""
    method = load_method(name)
    rule = method.accumulate_gradients
    return partial(rule, **objective) if takes_objective(method) else rule
