"""What one rank does of a training step that several ranks share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.train.ranks.bounds import StepTimes
from sid_core import BeliefNetwork, Objective
from sid_core.phases import enter

Batches = Iterable[tuple[Tensor, Tensor]]


class Train(Protocol):
    """Trains on some batches, the same on each rank; every rank calls it at once."""

    def __call__(self, batches: Batches, objective: Objective | None, optimizer: Optimizer) -> Tensor:
        """Gradients and an optimizer step for each ``(images, labels)``; the losses ``[N]``, NaN where unknown here."""


@dataclass(frozen=True)
class RankShare:
    """One rank's share.

    Attributes:
        network: what this rank trains: its parameters are those that its optimizer gets.
        followed: the network whose ``run_module`` the rank calls; a trace is recorded there.
        first_module: the number, from 1, of the first module of ``followed`` in the whole network.
        modules_by_rank: how many modules each rank has.
        train: what it does.
        bound: the least ratio of a step's time to that on one rank, from times on one.
        run_length: batches that ``train`` needs at once for the ranks to be busy most of the time.
        train_exactly: as ``train``, with losses that are those of one rank to the last bit; None: ``train``.
        gather: ``gather(network)``, called by all ranks at once, writes the weights and buffers of all ranks into the
            whole ``network``; None: it cannot, so that there is no accuracy pass.
    """

    network: nn.Module
    followed: BeliefNetwork
    first_module: int
    modules_by_rank: list[int]
    train: Train
    bound: Callable[[StepTimes], float]
    run_length: int = 1
    train_exactly: Train | None = None
    gather: Callable[[BeliefNetwork], None] | None = None


def batch_by_batch(accumulate_gradients: Callable[..., Tensor]) -> Train:
    """Ends each batch on all ranks before the next.

    Args:
        accumulate_gradients: ``(images, labels, objective) -> loss``, called by all ranks at once.
    """

    def train(batches: Batches, objective: Objective | None, optimizer: Optimizer) -> Tensor:
        losses = []
        for images, labels in batches:
            optimizer.zero_grad()
            losses.append(accumulate_gradients(images, labels, objective))
            enter("optimizer")
            optimizer.step()
        return torch.stack(losses)

    return train
