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
from bench.config.datasets import load_dataset_row
from bench.config.methods import is_compiled, load_method, rule_of
from bench.config.plugins import resolve
from bench.config.split_sizes import known_samples
from bench.train.auxiliary import build_auxiliary
from bench.train.compiled import compile_modules, set_up_compiler
from bench.train.data_facts import DataFacts
from bench.train.datasets.pixels import PixelScale
from bench.train.losses import loss_of_rule
from bench.train.micro_batches import in_micro_batches
from bench.train.networks.build import build_network
from bench.train.noise import transition_matrix
from sid_core import BeliefNetwork, Objective, recomputed
from sid_core.objective import DEFAULT_SMOOTHING
from sid_core.phases import enter
from sid_core.steps.compiled import without_compilation

_SGD_MOMENTUM = 0.9

Gradients = Literal["free", "zero"]
Rule = Callable[..., Tensor]  # (network, images, labels, objective, **tensors of the samples) -> loss
LogitsByModule = Callable[[BeliefNetwork, Tensor], Iterator[Tensor | None]]
Predict = Callable[[BeliefNetwork, Tensor], Tensor]
MakeOptimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class Step(Protocol):
    """What the memory pass needs of a training step: ``network`` has a ``trunk``."""

    @property
    def network(self) -> Any:
        """The network, or a rank's part of it."""

    @property
    def held(self) -> Sequence[nn.Module]:
        """Whose parameters and buffers the step holds: the network, and what a rule has beside it."""

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
        predict: gives the last module's logits; None: the last of ``logits_by_module``.
        auxiliary: what the rule trains or holds beside the network.
        after_step: called with the network after the optimizer's step.
        uses_indices: the rule gets the places of the images in the training split.
        uses_pixels: the rule gets the images before they were normalised.
        data: what is known of the data; None for a step that was made by hand.
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
    predict: Predict | None = None
    auxiliary: nn.Module | None = None
    after_step: Callable[[BeliefNetwork], object] | None = None
    uses_indices: bool = False
    uses_pixels: bool = False
    data: DataFacts | None = None
    make_optimizer: MakeOptimizer = torch.optim.SGD
    precision: Precision = "float32"
    is_compiled: bool = False

    def __call__(
        self, images: Tensor, labels: Tensor, gradients: Gradients = "free", indices: Tensor | None = None
    ) -> Tensor:
        """Gradients and an optimizer step on ``images`` ``[B, ...]``, ``labels`` ``[B]``; returns the loss, ``[]``.

        Args:
            images: ``[B, channels, H, W]``.
            labels: ``[B]``, int64.
            gradients: what happens to those of the step before: ``free`` (PyTorch's default, the fastest) or ``zero``
                (the buffers stay, so that a step allocates none of its own).
            indices: ``[B]``, int64: the places of the images in the training split; None: 0 to B - 1, or as far as
                there are images, again from 0.
        """
        self.optimizer.zero_grad(set_to_none=gradients == "free")
        loss = self.add_gradients(images, labels, indices)
        enter("optimizer")
        self.optimizer.step()
        if self.after_step is not None:
            self.after_step(self.plain_network or self.network)
        return loss

    def add_gradients(self, images: Tensor, labels: Tensor, indices: Tensor | None = None) -> Tensor:
        """Run the rule, without the optimizer; arguments and loss are those of a whole step."""
        enter("forward")
        with self.autocast(images.device):
            return loss_of_rule(
                self.rule(self.network, images, labels, self.objective, **self._of_samples(images, indices))
            )

    def _of_samples(self, images: Tensor, indices: Tensor | None) -> dict[str, Tensor]:
        """What the rule gets of each sample besides image and label."""
        found: dict[str, Tensor] = {}
        if self.uses_indices:
            found["indices"] = self._first_places(images) if indices is None else indices
        if self.uses_pixels and self.data is not None:
            found["pixels"] = self.data.scale.pixels(images)
        return found

    def _first_places(self, images: Tensor) -> Tensor:
        """The places of a batch that holds the training split from its start, and again if the batch is larger."""
        places = torch.arange(len(images), device=images.device)
        samples = None if self.data is None else self.data.samples
        return places if samples is None or len(images) <= samples else places % samples

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which the network runs on ``device``."""
        return autocast_to(self.precision, device)

    def timed(self) -> AbstractContextManager[object]:
        """The context of steps that are timed: it is an error if anything has to be compiled in it."""
        return without_compilation() if self.is_compiled else nullcontext()

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

        Raises:
            ValueError: the step was made by hand, and the method has hooks that read the data.
        """
        plain = self.plain_network or self.network
        if self.data is None and load_method(cell.method).hooks:
            raise ValueError(f"a step that was made by hand has no data for the hooks of method {cell.method!r}")
        auxiliary = None if self.data is None else build_auxiliary(cell, plain, self.data)
        optimizer, in_turn = self.optimizer, self.in_turn
        has_own = auxiliary is not None or self.auxiliary is not None
        updated_by = (bool(in_turn), False) if self.cell is None else _who_updates(self.cell)
        if has_own or _who_updates(cell) != updated_by:
            optimizer, in_turn = _optimizers(cell, plain, auxiliary, self.make_optimizer)
        return replace(self, optimizer=optimizer, in_turn=in_turn, **_of_rule(cell, plain, auxiliary, in_turn))

    @property
    def held(self) -> list[nn.Module]:
        """The network, and what the rule has beside it."""
        return [self.network] if self.auxiliary is None else [self.network, self.auxiliary]

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


def build_step(
    cell: Cell,
    shape: tuple[int, int, int],
    classes: int,
    *,
    samples: int | None = None,
    scale: PixelScale | None = None,
    transition: Tensor | None = None,
) -> TrainingStep:
    """The training step of ``cell``.

    Args:
        cell: what to train.
        shape: ``(channels, height, width)`` of the images.
        classes: C.
        samples: the number of training samples; None: as many as the cell says, where it does.
        scale: from images to pixels; None: images are pixels already, as far as a step can tell.
        transition: the matrix of the label noise, float64 ``[C, C]``; None: that of the cell, where no file says it.

    Raises:
        ConfigError: the network or the method cannot be built for the cell.
    """
    network = build_network(cell, shape, classes)
    if cell.device != "cpu":  # tensors without contents cannot be moved even to where they are
        network = network.to(cell.device)
    if cell.compile:
        set_up_compiler()
        compile_modules(network)
    data = DataFacts(
        shape,
        known_samples(cell) if samples is None else samples,
        (scale or PixelScale.identity(shape[0])).to(cell.device),
        _known_transition(cell, classes) if transition is None else transition,
    )
    auxiliary = build_auxiliary(cell, network, data)
    make_optimizer = partial(build_optimizer, cell)
    optimizer, in_turn = _optimizers(cell, network, auxiliary, make_optimizer)
    return TrainingStep(
        optimizer=optimizer,
        in_turn=in_turn,
        make_optimizer=make_optimizer,
        precision=cell.precision,
        data=data,
        **_of_rule(cell, network, auxiliary, in_turn),
    )


def _known_transition(cell: Cell, classes: int) -> Tensor | None:
    """The matrix of the label noise of ``cell``; None where only files say it."""
    return transition_matrix(classes, cell.noise_kind, cell.noise_rate, load_dataset_row(cell.dataset).asymmetric)


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
    cell: Cell, network: BeliefNetwork, auxiliary: nn.Module | None, make: MakeOptimizer
) -> tuple[torch.optim.Optimizer, Sequence[torch.optim.Optimizer]]:
    """What updates the network at the end of a step, and what the rule itself calls, per module or per parameter."""
    beside = () if auxiliary is None else auxiliary.parameters()
    if load_method(cell.method).per_parameter_optimizers:
        return make(beside), [make((parameter,)) for parameter in network.parameters()]
    if load_method(cell.method).per_module_optimizers:
        in_turn = [make(module.parameters()) for module in network.local_modules]
        return make([*network.trunk.parameters(), *beside]), in_turn
    return make([*network.parameters(), *beside]), ()


def _of_rule(
    cell: Cell, network: BeliefNetwork, auxiliary: nn.Module | None, in_turn: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """The fields of a step that belong to its rule; ``network`` is the plain one."""
    method = load_method(cell.method)
    if method.compiles:
        set_up_compiler()
    keywords = method.settings_for(cell)
    beside = {} if auxiliary is None else {"auxiliary": auxiliary}
    keywords |= beside
    reading = beside if method.predicts_with_auxiliary else {}
    of_rule = keywords | ({"optimizers": in_turn} if method.updates_within_step else {})
    rule: Rule = _with(of_rule, rule_of(method))
    if cell.micro_batches is not None:
        rule = in_micro_batches(rule, cell.micro_batches, auxiliary)
    return {
        "network": recomputing(network, cell.recompute),
        "plain_network": network,
        "rule": rule,
        "objective": objective_of(cell),
        "cell": cell,
        "is_compiled": is_compiled(cell),
        "logits_by_module": _with(reading, resolve(method.logits_by_module) or BeliefNetwork.logits_by_module),
        "predict": _with(reading, resolve(method.predict)),
        "auxiliary": auxiliary,
        "after_step": _with(keywords, resolve(method.after_step)),
        "uses_indices": method.uses_indices,
        "uses_pixels": method.uses_pixels,
    }


def _with(keywords: dict[str, Any], function: Any) -> Any:
    """``function`` with ``keywords``; itself where there are none, or where there is no function."""
    return partial(function, **keywords) if function is not None and keywords else function
