"""What every answer of a cell's process says, and the batch that its passes run on. Imports torch."""

from typing import Any

import torch
from torch import Tensor

from bench.config.cell import Cell
from bench.config.own_files import own_files
from bench.execute.messages import Request
from bench.execute.rank_context import RankContext
from bench.machine.allocators import malloc_variables
from bench.machine.environment import torch_environment
from bench.store.findings import OWN_FILES
from bench.store.record import Data
from bench.train.auxiliary import build_auxiliary
from bench.train.data_facts import DataFacts
from bench.train.datasets.splits import Splits
from bench.train.networks.build import build_network
from bench.train.networks.own import layout_of
from bench.train.step import TrainingStep, build_step


def common_parts(request: Request, dataset: Splits, context: RankContext | None = None) -> dict[str, Any]:
    """The fields of an answer that do not depend on what was measured.

    Args:
        request: what the process was asked to do.
        dataset: the data.
        context: this rank; None for a cell on one rank.
    """
    environment = torch_environment(request.cell.device)
    environment["malloc_variables"] = malloc_variables()
    environment["pinned_cpus"] = None if request.cpus is None else sorted(request.cpus)
    if files := own_files(request.cell):
        environment[OWN_FILES] = files
    if context is not None:
        environment["ranks"] = context.ranks
    network = build_network(request.cell, dataset.shape, dataset.classes)
    facts = DataFacts(dataset.shape, len(dataset.train), dataset.scale, dataset.transition)
    beside = build_auxiliary(request.cell, network, facts)
    held = [network] if beside is None else [network, beside]
    return {
        "environment": environment,
        "data": Data(
            classes=dataset.classes,
            shape=dataset.shape,
            train_samples=len(dataset.train),
            validation_samples=len(dataset.validation),
            test_samples=len(dataset.test),
            fingerprint=dataset.fingerprint,
            noise_fingerprint=dataset.noise_fingerprint,
        ),
        "layout": layout_of(network),
        "parameters": sum(parameter.numel() for module in held for parameter in module.parameters()),
    }


def one_batch(cell: Cell, dataset: Splits) -> tuple[Tensor, Tensor]:
    """A batch of exactly ``batch_size`` training samples; a smaller data set is repeated to fill it."""
    index = torch.arange(cell.batch_size) % len(dataset.train)
    return dataset.train.images[index].to(cell.device), dataset.train.labels[index].to(cell.device)


def step_on(cell: Cell, dataset: Splits) -> TrainingStep:
    """A newly built training step of ``cell`` for its data."""
    return build_step(
        *(cell, dataset.shape, dataset.classes),
        samples=len(dataset.train),
        scale=dataset.scale,
        transition=dataset.transition,
    )
