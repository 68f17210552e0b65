"""One training step of a cell: what all three passes run."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from bench.config.cell import Cell, Precision
from bench.config.methods import AccumulateGradients, load_method, settings, takes_objective, updates_in_turn
from bench.train.compiled import all_compiled, compile_modules
from bench.train.networks.build import build_network
from sid_core import BeliefNetwork
from sid_core.phases import enter

_SGD_MOMENTUM = 0.9

Gradients = Literal["free", "zero"]
LogitsByModule = Callable[[BeliefNetwork, Tensor], Iterator[Tensor | None]]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Step(Protocol):
    """What the memory pass needs of a training step: ``network`` has what it trains, and a ``trunk``."""

    @property
    def network(self) -> Any:
        """The network, or a rank's part of it."""

    @property
    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        """All that update it."""

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
        """Trains; see :class:`TrainingStep`."""


@dataclass(frozen=True)
class TrainingStep:
    """A network, its optimizer and a training rule; calling it trains on one batch.

    ``gradients`` says what happens to the gradients of the step before: ``free`` (PyTorch's default, the fastest) or
    ``zero`` (the buffers stay, so that a step allocates none of its own). ``rule`` has its objective and settings
    already; ``cell`` is where other methods find theirs. ``logits_by_module`` is how the network is read that the rule
    has trained.

    A rule with an optimizer a module has them ``in_turn``, calls them itself and frees their gradients, so that only
    the trunk's stay for ``optimizer``. ``make_optimizer`` makes the like for other methods.

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
    cell: Cell | None = None
    in_turn: Sequence[torch.optim.Optimizer] = ()
    logits_by_module: LogitsByModule = BeliefNetwork.logits_by_module
    make_optimizer: MakeOptimizer = torch.optim.SGD
    precision: Precision = "float32"
    is_compiled: bool = False

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
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
        return autocast_to(self.precision, device)

    def timed(self) -> AbstractContextManager[object]:
        """The context of steps that are timed: it is an error if anything has to be compiled in it."""
        return all_compiled() if self.is_compiled else nullcontext()

    def with_method(self, method: str) -> Self:
        """The step of another ``method`` on the same network, and with the same optimizer if it has one for all.

        Raises:
            ConfigError: there is no such method.
            ValueError: the step was made by hand, without a cell.
        """
        if self.cell is None:
            raise ValueError("a step without a cell has no other method")
        optimizer, in_turn = self.optimizer, self.in_turn
        if updates_in_turn(load_method(method)) != bool(in_turn):
            optimizer, in_turn = _optimizers(method, self.network, self.make_optimizer)
        return replace(self, optimizer=optimizer, in_turn=in_turn, **_of_method(method, self.cell, in_turn))

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """All that update the network."""
        return [*self.in_turn, self.optimizer]


def autocast_to(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """The context in which a network computes in ``precision`` on ``device``."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def flush_denormals() -> None:
    """Makes this process treat denormal numbers as zero; call it before torch starts its threads, which inherit it.

    A measured step runs many times on one batch, until its gradients underflow. CPUs handle denormals in microcode:
    BP's step at depth 16 then took eight times as long as at the start, and SID's, whose loss stays above zero, did
    not. That would be a figure of the batch and the processor, not of the method. It does nothing where the processor
    cannot; :func:`bench.machine.environment.torch_environment` records what is in force.
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
    make_optimizer = partial(build_optimizer, cell)
    optimizer, in_turn = _optimizers(cell.method, network, make_optimizer)
    return TrainingStep(
        network,
        optimizer,
        alpha=cell.alpha,
        cell=cell,
        in_turn=in_turn,
        make_optimizer=make_optimizer,
        precision=cell.precision,
        is_compiled=cell.compile,
        **_of_method(cell.method, cell, in_turn),
    )


def build_optimizer(cell: Cell, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of ``cell``: fused, which runs one kernel for all parameters and keeps no temporaries."""
    group = [{"params": list(parameters)}]  # as a group, there may be none: the trunk of a pipeline has none
    if cell.optimizer == "adam":
        return torch.optim.Adam(group, lr=cell.learning_rate, weight_decay=cell.weight_decay, fused=True)
    return torch.optim.SGD(
        group, lr=cell.learning_rate, weight_decay=cell.weight_decay, momentum=_SGD_MOMENTUM, fused=True
    )


def _optimizers(
    method: str, network: BeliefNetwork, make: MakeOptimizer
) -> tuple[torch.optim.Optimizer, Sequence[torch.optim.Optimizer]]:
    """What updates the network at the end of a step of ``method``, and what the rule itself calls, one a module."""
    if updates_in_turn(load_method(method)):
        return make(network.trunk.parameters()), [make(module.parameters()) for module in network.local_modules]
    return make(network.parameters()), ()


def _of_method(
    name: str, cell: Cell, in_turn: Sequence[torch.optim.Optimizer]
) -> dict[Literal["rule", "logits_by_module"], Any]:
    """The fields of a step of ``cell`` by the method called ``name``; its rule as a function of four arguments."""
    method = load_method(name)
    options: dict[str, Any] = settings(method, cell)
    if takes_objective(method):
        options |= cell.objective()
    if updates_in_turn(method):
        options["optimizers"] = in_turn
    rule = method.accumulate_gradients
    read = getattr(method, "logits_by_module", BeliefNetwork.logits_by_module)
    return {"rule": partial(rule, **options) if options else rule, "logits_by_module": read}
