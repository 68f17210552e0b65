"""The training of another network that some rules learn from, before their own training."""

import torch

from bench.config.cell import Cell
from bench.config.check import changed
from bench.config.methods import BASELINE, load_method
from bench.config.plugins import resolve
from bench.measure.epochs import train_epochs
from bench.measure.evaluation import last_logits
from bench.measure.labelled import Labelled
from bench.measure.training import StepTraining
from bench.train.datasets.splits import Splits
from bench.train.step import TrainingStep, build_step


def learn_from_bp(cell: Cell, step: TrainingStep, splits: Splits, data: Labelled) -> int | None:
    """Let the rule of ``cell`` learn from a network that BP trains, if its row asks for that.

    BP trains a network with the weights that the network of ``step`` begins with, on the same batches of the same noisy
    labels. That network has then its weights of the epoch that noisy validation labels choose, and its logits for all
    training images are given to the rule. So the result depends on the cell and the data alone.

    Args:
        cell: the cell.
        step: a newly built training step of it; the module that the rule has beside the network may change.
        splits: the data.
        data: the same on the cell's device, with noisy labels.

    Returns:
        The number of epochs that were trained; None if the row does not ask for any.
    """
    learn = resolve(load_method(cell.method).learn_from_bp)
    if learn is None:
        return None
    first_cell = changed(cell, method=BASELINE)
    first = build_step(
        *(first_cell, splits.shape, splits.classes),
        samples=len(splits.train),
        scale=splits.scale,
        transition=splits.transition,
    )
    train_epochs(first_cell, first, StepTraining(first_cell, data, first)).load_chosen()
    places = torch.arange(len(data.train), device=data.train.labels.device)
    learn(step.auxiliary, last_logits(first, data.train.images, places))
    return first_cell.epochs
