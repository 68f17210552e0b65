"""One rank's part of a training step on several ranks, and the steps on one rank that it is compared with."""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.optim import Optimizer

from bench.config.cell import Cell, Precision
from bench.config.check import changed
from bench.config.methods import load_method
from bench.config.plugins import resolve
from bench.train.networks.build import build_network
from bench.train.ranks.share import Batches, RankShare, Train
from bench.train.step import Gradients, TrainingStep, autocast_to, build_optimizer, build_step, objective_of
from sid_core import Objective
from sid_core.phases import enter

# A rule that works on several batches at once holds most when all ranks are busy, which takes so many batches.
_BATCHES_IN_FLIGHT = 8


@dataclass(frozen=True)
class RankStep:
    """A rank's share, its optimizer, and the choices of the cell; all ranks call it together.

    A call trains on one batch. A rule that works on several batches at once gets the same batch several times.
    """

    share: RankShare
    optimizer: Optimizer
    objective: Objective | None
    precision: Precision = "float32"

    @property
    def network(self) -> nn.Module:
        """What this rank trains."""
        return self.share.network

    @property
    def held(self) -> list[nn.Module]:
        """What this rank trains."""
        return [self.share.network]

    @property
    def optimizers(self) -> list[Optimizer]:
        """All that update this rank's part."""
        return [self.optimizer]

    @property
    def batches_in_call(self) -> int:
        """How many batches a call trains on."""
        return 1 if self.share.run_length == 1 else _BATCHES_IN_FLIGHT

    def __call__(self, images: Tensor, labels: Tensor, gradients: Gradients = "free") -> Tensor:
        """Trains on ``images`` ``[B, ...]`` and ``labels`` ``[B]``; the losses, NaN where this rank has none."""
        return self.run(images, labels, self.batches_in_call, gradients)

    def run(self, images: Tensor, labels: Tensor, batches: int, gradients: Gradients = "free") -> Tensor:
        """Trains ``batches`` times on one batch; the losses, ``[batches]``.

        ``gradients`` are those of the step before, as for :class:`bench.train.step.TrainingStep`.
        """
        zero_grad = self.optimizer.zero_grad
        if gradients == "zero":
            self.optimizer.__dict__["zero_grad"] = lambda: zero_grad(set_to_none=False)
        try:
            enter("forward")
            return self._train(self.share.train, ((images, labels) for _ in range(batches)))
        finally:
            self.optimizer.__dict__.pop("zero_grad", None)

    def train(self, batches: Batches) -> Tensor:
        """Trains on each of ``batches``; the losses, NaN where this rank has none, ``[N]``."""
        return self._train(self.share.train_exactly or self.share.train, batches)

    def _train(self, train: Train, batches: Batches) -> Tensor:
        device = next(self.network.parameters()).device
        # An optimizer's step is in it, too, and stays as it is: autocast passes by what works in place.
        with autocast_to(self.precision, device):
            return train(batches, self.objective, self.optimizer)


def build_rank_step(cell: Cell, shape: tuple[int, int, int], classes: int) -> RankStep:
    """This rank's side of the step of ``cell``, with the weights that one rank would have drawn."""
    network = build_network(cell, shape, classes)
    if cell.device != "cpu":  # tensors without contents cannot be moved even to where they are
        network = network.to(cell.device)
    method = load_method(cell.method)
    share: RankShare = resolve(method.on_ranks)(network, **method.settings_for(cell))
    optimizer = build_optimizer(cell, share.network.parameters())
    return RankStep(share, optimizer, objective_of(cell), cell.precision)


def build_one_rank_steps(cell: Cell, shape: tuple[int, int, int], classes: int) -> tuple[TrainingStep, TrainingStep]:
    """BP's step and that of the cell's own rule, both for one rank, on one network and with one optimizer."""
    own = build_one_rank_step(cell, shape, classes)
    return own.baseline(), own


def build_one_rank_step(cell: Cell, shape: tuple[int, int, int], classes: int) -> TrainingStep:
    """The step of the cell's own rule on one rank."""
    method = load_method(cell.method).on_one_rank
    return build_step(changed(cell, method=method, ranks=1, micro_batches=None), shape, classes)
