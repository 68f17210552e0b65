"""One training step of a cell: what every pass but inference runs."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol, Self

import torch
from torch import Tensor, nn

from bench.config.cell import RECOMPUTED_PARTS, Cell, Precision, Recompute
from bench.config.check import baseline_of
from bench.config.methods import is_compiled, load_method, rule_of
from bench.config.plugins import resolve
from bench.train.compiled import all_compiled, compile_modules, set_up_compiler
from bench.train.micro_batches import in_micro_batches
from bench.train.networks.build import build_network
from sid_core import BeliefNetwork, Objective, recomputed
from sid_core.objective import DEFAULT_SMOOTHING
from sid_core.phases import enter

_SGD_MOMENTUM = 0.9

Gradients = Literal["free", "zero"]
Rule = Callable[[BeliefNetwork, Tensor, Tensor, Objective | None], Tensor]
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

    In ``bfloat16`` the rule runs under autocast, and the optimizer on float32 parameters and gradients outside of it.
    PyTorch advises to run the backward pass outside, too. Rules run forward and backward in one call, and nothing
    changes with it: autocast chooses types for operators that get wider ones, and those of a backward pass get the
    types that the forward pass has chosen. Autocast's cache is off: it would hold narrow copies of all weights until
    the rule ends, even of those that the rule no longer needs.

    Attributes:
        network: what the rule runs on. Where the cell recomputes, it is a view (:func:`sid_core.recomputed`) of
            ``plain_network``, with the same parameters.
        optimizer: what updates the network at the end of a step; with ``in_turn`` what that leaves of it.
        rule: adds a step's gradients to ``.grad``. Its settings, keywords and optimizers are bound already.
        objective: what the rule gets besides network and batch; None for a rule without alpha.
        cell: where another rule on the same network finds its choices; None for a step that was made by hand.
        plain_network: the network without recomputation; None: it is ``network``.
        in_turn: one optimizer per module, or per parameter, that the rule itself calls before it frees their gradients.
        logits_by_module: how a network is read that the rule has trained.
        make_optimizer: makes the optimizers of other rules.
        precision: what the rule computes in.
        is_compiled: the rule, or the trunk and the modules that it calls, run through torch.compile; the optimizer does
            not. With compiled modules SID goes through autograd, since its closed form calls no module.
    """

    network: BeliefNetwork
    optimizer: torch.optim.Optimizer
    rule: Rule
    objective: Objective | None
    cell: Cell | None = None
    plain_network: BeliefNetwork | None = None
    in_turn: Sequence[torch.optim.Optimizer] = ()
    logits_by_module: LogitsByModule = BeliefNetwork.logits_by_module
    make_optimizer: MakeOptimizer = torch.optim.SGD
    precision: Precision = "float32"
    is_compiled: bool = False

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
        """Gradients and an optimizer step on ``images`` ``[B, ...]``, ``labels`` ``[B]``; returns the loss, ``[]``.

        Args:
            images: ``[B, channels, H, W]``.
            labels: ``[B]``, int64.
            gradients: what happens to those of the step before: ``free`` (PyTorch's default, the fastest) or ``zero``
                (the buffers stay, so that a step allocates none of its own).
        """
        self.optimizer.zero_grad(set_to_none=gradients == "free")
        enter("forward")
        with self.autocast(images.device):
            loss = self.rule(self.network, images, labels, self.objective)
        enter("optimizer")
        self.optimizer.step()
        return loss

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the network runs on ``device``."""
        return autocast_to(self.precision, device)

    def timed(self) -> AbstractContextManager[object]:
        """The context of steps that are timed: it is an error if anything has to be compiled in it."""
        return all_compiled() if self.is_compiled else nullcontext()

    def baseline(self) -> Self:
        """Plain BP's step on the same network.

        Raises:
            ValueError: the step was made by hand, without a cell.
        """
        if self.cell is None:
            raise ValueError("a step without a cell has no baseline")
        return self.for_cell(baseline_of(self.cell))

    def for_cell(self, cell: Cell) -> Self:
        """The step of another ``cell`` on the same network, and with the same optimizer if it has one for all modules.

        Args:
            cell: differs in its rule only.
        """
        plain = self.plain_network or self.network
        optimizer, in_turn = self.optimizer, self.in_turn
        if _who_updates(cell) != ((bool(in_turn), False) if self.cell is None else _who_updates(self.cell)):
            optimizer, in_turn = _optimizers(cell, plain, self.make_optimizer)
        return replace(self, optimizer=optimizer, in_turn=in_turn, **_of_rule(cell, plain, in_turn))

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
    """The training step of ``cell`` for images of ``shape`` (channels, height, width).

    Raises:
        ConfigError: the network or the method cannot be built for the cell.
    """
    network = build_network(cell, shape, classes)
    if cell.device != "cpu":  # tensors without contents cannot be moved even to where they are
        network = network.to(cell.device)
    if cell.compile:
        set_up_compiler()
        compile_modules(network)
    make_optimizer = partial(build_optimizer, cell)
    optimizer, in_turn = _optimizers(cell, network, make_optimizer)
    return TrainingStep(
        optimizer=optimizer,
        in_turn=in_turn,
        make_optimizer=make_optimizer,
        precision=cell.precision,
        **_of_rule(cell, network, in_turn),
    )


def build_optimizer(cell: Cell, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer of ``cell``: fused, which runs one kernel for all parameters and keeps no temporaries."""
    group = [{"params": list(parameters)}]  # as a group, there may be none: the trunk of a pipeline has none
    if cell.optimizer == "adam":
        return torch.optim.Adam(group, lr=cell.learning_rate, weight_decay=cell.weight_decay, fused=True)
    return torch.optim.SGD(
        group, lr=cell.learning_rate, weight_decay=cell.weight_decay, momentum=_SGD_MOMENTUM, fused=True
    )


def recomputing(network: BeliefNetwork, recompute: Recompute) -> BeliefNetwork:
    """``network`` itself, or the view of it that runs parts again in the backward pass."""
    parts = RECOMPUTED_PARTS[recompute]
    if not parts:
        return network
    return recomputed(
        network, trunk="trunk" in parts, modules="modules" in parts, hold_products=recompute == "selective"
    )


def objective_of(cell: Cell) -> Objective | None:
    """SID's local objective with the choices of ``cell``; None for a method that does not read alpha."""
    if not load_method(cell.method).uses_alpha or cell.alpha is None:
        return None
    smoothing = DEFAULT_SMOOTHING if cell.smoothing is None else cell.smoothing
    return Objective(cell.alpha, cell.direction, smoothing, cell.loss_reduction)


def _who_updates(cell: Cell) -> tuple[bool, bool]:
    """Whether the rule has optimizers per module, or per parameter."""
    method = load_method(cell.method)
    return method.per_module_optimizers, method.per_parameter_optimizers


def _optimizers(
    cell: Cell, network: BeliefNetwork, make: MakeOptimizer
) -> tuple[torch.optim.Optimizer, Sequence[torch.optim.Optimizer]]:
    """What updates the network at the end of a step, and what the rule itself calls, per module or per parameter."""
    if load_method(cell.method).per_parameter_optimizers:
        return make(()), [make((parameter,)) for parameter in network.parameters()]
    if load_method(cell.method).per_module_optimizers:
        return make(network.trunk.parameters()), [make(module.parameters()) for module in network.local_modules]
    return make(network.parameters()), ()


def _of_rule(cell: Cell, network: BeliefNetwork, in_turn: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """The fields of a step that belong to its rule; ``network`` is the plain one."""
    method = load_method(cell.method)
    if method.compiles:
        set_up_compiler()
    keywords = method.settings_for(cell)
    if method.updates_within_step:
        keywords["optimizers"] = in_turn
    rule: Rule = partial(rule_of(method), **keywords) if keywords else rule_of(method)
    if cell.micro_batches is not None:
        rule = in_micro_batches(rule, cell.micro_batches)
    return {
        "network": recomputing(network, cell.recompute),
        "plain_network": network,
        "rule": rule,
        "objective": objective_of(cell),
        "cell": cell,
        "is_compiled": is_compiled(cell),
        "logits_by_module": resolve(method.logits_by_module) or BeliefNetwork.logits_by_module,
    }
