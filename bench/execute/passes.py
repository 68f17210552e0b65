"""The passes of one cell in one process, as an answer. Imports torch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.config.cell import Cell, Pass
from bench.config.check import is_baseline
from bench.execute.messages import Answer, Request
from bench.execute.rank_context import RankContext
from bench.execute.settings_watch import SettingsWatch
from bench.machine.allocators import malloc_variables
from bench.machine.environment import torch_environment
from bench.measure.accuracy import measure_accuracy
from bench.measure.latency.measure import measure_latency, sample_latency
from bench.measure.latency.sample import Sample
from bench.measure.memory.measure import measure_memory
from bench.measure.on_ranks import measure_on_ranks
from bench.measure.trace.recorder import trace_step
from bench.store.record import Data
from bench.train.datasets.splits import Splits
from bench.train.networks.build import build_network
from bench.train.networks.own import layout_of
from bench.train.step import TrainingStep, build_step


def run_passes(request: Request, dataset: Splits, context: RankContext | None, watch: SettingsWatch) -> Answer:
    """Runs the passes that ``request`` asks for.

    Args:
        request: of the task ``measure``.
        dataset: the cell's data.
        context: this rank; None for a cell on one rank.
        watch: has seen the code and the data loaded.

    Returns:
        The parts of the record. A process that is not the cell's last one answers with a latency sample in place of the
        latency. Of several ranks, only rank 0 answers with measurements.
    """
    cell = request.cell
    environment = _environment(cell, request.cpus, context)
    if context is None:
        answer = _measure(cell, dataset, request.passes, request.earlier_samples)
    else:
        answer = _measure_on_ranks(cell, dataset, context)
    changed = watch.changed()
    if finding := watch.finding(changed):
        environment["doctor"] = finding
    if changed and answer.latency is not None:
        reasons = [f"torch's settings changed: {', '.join(changed)}", answer.latency.noisy_because]
        noisy = answer.latency.model_copy(update={"noisy_because": "; ".join(filter(None, reasons))})
        answer = answer.model_copy(update={"latency": noisy})
    network = build_network(cell, dataset.shape, dataset.classes)
    return answer.model_copy(
        update={
            "environment": environment,
            "data": _describe(dataset),
            "layout": layout_of(network),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
    )


def _measure(cell: Cell, dataset: Splits, passes: Sequence[Pass], earlier: Sequence[Sample]) -> Answer:
    """Passes of a cell on one rank, each with a network of its own."""
    memory = accuracy = latency = trace = sample = None
    if {"memory", "latency"} & set(passes):
        images, labels = _one_batch(cell, dataset)
    if "memory" in passes:
        memory = measure_memory(_fresh_step(cell, dataset), images, labels)
    if "latency" in passes:
        step = _fresh_step(cell, dataset)
        baseline = step.baseline()
        if len(earlier) + 1 < cell.processes:
            loops = earlier[0].loops if earlier else None
            sample = sample_latency(step, baseline, images, labels, cell.latency_seconds, loops, step.timed)
        else:
            latency = measure_latency(
                *(step, baseline, images, labels, cell.latency_seconds),
                is_baseline=is_baseline(cell),
                earlier=earlier,
                timed=step.timed,
            )
            trace = trace_step(step, images, labels)  # after the timed steps, which it must not disturb
    if "accuracy" in passes:
        accuracy = measure_accuracy(cell, _fresh_step(cell, dataset), dataset)
    return Answer(status="ok", memory=memory, latency=latency, trace=trace, latency_sample=sample, accuracy=accuracy)


def _measure_on_ranks(cell: Cell, dataset: Splits, context: RankContext) -> Answer:
    """The passes of a cell on several ranks, which start them together."""
    images, labels = _one_batch(cell, dataset)
    control = context.join(cell.device)
    measured = measure_on_ranks(cell, dataset.shape, dataset.classes, images, labels, control)
    if measured is None:
        return Answer(status="ok")
    return Answer(
        status="ok",
        memory=measured.memory,
        latency=measured.latency,
        trace=measured.trace,
        ranks=measured.ranks,
    )


def _environment(cell: Cell, cpus: Sequence[int] | None, context: RankContext | None) -> dict[str, Any]:
    environment = torch_environment(cell.device)
    environment["malloc_variables"] = malloc_variables()
    environment["pinned_cpus"] = None if cpus is None else sorted(cpus)
    if context is not None:
        environment["ranks"] = context.ranks
    return environment


def _describe(dataset: Splits) -> Data:
    return Data(
        classes=dataset.classes,
        shape=dataset.shape,
        train_samples=len(dataset.train),
        validation_samples=len(dataset.validation),
        test_samples=len(dataset.test),
        fingerprint=dataset.fingerprint,
    )


def _fresh_step(cell: Cell, dataset: Splits) -> TrainingStep:
    return build_step(cell, dataset.shape, dataset.classes)


def _one_batch(cell: Cell, dataset: Splits) -> tuple[Tensor, Tensor]:
    """A batch of exactly ``batch_size`` training samples; a smaller data set is repeated to fill it."""
    index = torch.arange(cell.batch_size) % len(dataset.train)
    return dataset.train.images[index].to(cell.device), dataset.train.labels[index].to(cell.device)
