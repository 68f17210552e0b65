"""How long each module takes in a step on one rank, from a trace of it."""

from collections import defaultdict

from torch import Tensor

from bench.measure.phases import LETTERS
from bench.measure.trace.recorder import trace_step
from bench.train.ranks.bounds import StepTimes
from bench.train.step import TrainingStep
from sid_core import module_cost


def time_modules(step: TrainingStep, images: Tensor, labels: Tensor) -> StepTimes | None:
    """Times of the modules of ``step``'s network; None where the trace has more spans than a trace may have.

    What belongs to no module is the trunk's. The optimizer's time is shared out by numbers of parameters, and the part
    of a forward pass that needs no belief by :func:`sid_core.module_cost`.

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
    a_parameter = update / sum(parameter.numel() for parameter in network.parameters())
    updates = [a_parameter * sum(parameter.numel() for parameter in module.parameters()) for module in modules]
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
