"""The time of each module in a step on one rank, from a trace."""

from collections import defaultdict

from torch import Tensor

from bench.measure.phases import LETTERS
from bench.measure.trace.recorder import trace_step
from bench.train.ranks.bounds import StepTimes
from bench.train.step import TrainingStep
from sid_core import module_cost


def time_modules(step: TrainingStep, images: Tensor, labels: Tensor) -> StepTimes | None:
    """Return the times of the modules of ``step``; None if the trace would have more than 1,000 spans.

    Time that belongs to no module counts as the trunk's. The optimizer's time is divided in proportion to the numbers
    of parameters. The part of a forward pass that needs no belief is estimated by :func:`sid_core.module_cost`.

    Args:
        step: the training step, warm; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64.
    """
    trace = trace_step(step, images, labels)
    if trace is None:
        return None
    seconds: defaultdict[tuple[int | None, str], float] = defaultdict(float)
    for module, phase, start, end in zip(
        trace.module, trace.phase, trace.start_seconds, trace.end_seconds, strict=True
    ):
        seconds[module, phase] += end - start
    network = step.network
    modules = list(network.local_modules)
    update = sum(time for (_, phase), time in seconds.items() if phase == LETTERS["optimizer"])
    per_parameter = update / sum(parameter.numel() for parameter in network.parameters())
    updates = [per_parameter * sum(parameter.numel() for parameter in module.parameters()) for module in modules]
    costs = [module_cost(module, network.classes) for module in modules]
    numbers = range(1, len(modules) + 1)
    forward, backward = LETTERS["forward"], LETTERS["backward"]
    return StepTimes(
        forward=[seconds[number, forward] for number in numbers],
        free=[cost.free / (cost.free + cost.locked) for cost in costs],
        backward=[seconds[number, backward] for number in numbers],
        optimizer=updates,
        trunk=seconds[None, forward] + seconds[None, backward] + update - sum(updates),
    )
