"""The accuracy pass of a cell on several ranks: all of them train, and rank 0 evaluates as it does on one rank."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from bench.config.cell import Cell
from bench.errors import BenchError
from bench.measure.accuracy import measure_accuracy
from bench.measure.labelled import Labelled, labelled
from bench.measure.training import Batch, Training
from bench.store.measurements.accuracy import Accuracy
from bench.train.datasets.splits import Splits
from bench.train.ranks.step import RankStep, build_one_rank_step, build_rank_step
from sid_core import BeliefNetwork


def measure_accuracy_on_ranks(cell: Cell, data: Splits, control: Any) -> Accuracy | None:
    """Runs the pass of ``cell``; every rank calls it. Returns None on every rank but rank 0.

    The record is that of one rank: data, order, noise, evaluation and the choice of an epoch are the same code on the
    same network, to which the ranks give their weights after each epoch.

    Args:
        cell: what to measure.
        data: the splits, on the CPU, the same on each rank.
        control: a gloo process group, in which the other ranks sleep while rank 0 evaluates.

    Raises:
        BenchError: the method's share of a rank does not gather weights.
    """
    whole = build_one_rank_step(cell, data.shape, data.classes)
    step = build_rank_step(cell, data.shape, data.classes)
    training = _RanksTraining(cell, labelled(cell, data), step, whole.network, control)
    if dist.get_rank() == 0:
        return measure_accuracy(cell, whole, data, training)
    torch.manual_seed(_seed(cell.seed, dist.get_rank()))  # else equal layers of two ranks would drop the same units
    for _ in range(cell.epochs):
        training.train_epoch()
    return None


class _RanksTraining(Training):
    """Training that several ranks share.

    Args:
        cell: as for :class:`bench.measure.training.Training`, and so is ``data``.
        data: the splits.
        step: this rank's.
        whole: gets the weights and buffers of all ranks after each epoch.
        control: a gloo process group.
    """

    def __init__(self, cell: Cell, data: Labelled, step: RankStep, whole: BeliefNetwork, control: Any) -> None:
        super().__init__(cell, data, [step.optimizer])
        if step.share.gather is None:
            raise BenchError(
                f"method {cell.method!r} has no accuracy on several ranks: its RankShare has no gather; legal: "
                "passes of memory, latency"
            )
        self._step = step
        self._gather = step.share.gather
        self._whole = whole
        self._control = control
        # A share may train on many batches in one call, so the optimizer says when a batch has ended.
        step.optimizer.register_step_post_hook(self._follow_schedule)

    def train(self, batches: Iterable[Batch]) -> Tensor:
        """All ranks together, once rank 0 has evaluated the epoch before."""
        dist.barrier(group=self._control)
        self._step.network.train()
        losses = self._step.train((images, labels) for images, labels, _ in batches)
        self._gather(self._whole)
        return losses

    def _follow_schedule(self, *_: object) -> None:
        for scheduler in self.schedulers:
            scheduler.step()


def _seed(seed: int, rank: int) -> int:
    """A seed of this rank's own."""
    digest = hashlib.sha256(f"rank {rank} of seed {seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
