"""The time of a step by phase: forward, backward and optimizer."""

import statistics
from collections import defaultdict

from torch import Tensor

from bench.measure.clock import Clock, clock_for, collector_paused
from bench.measure.phases import follow_phases
from bench.store.measurements.latency import Shares
from bench.train.step import TrainingStep
from sid_core.phases import Phase

_STEPS = 5  # odd, so that a median is one of them


def measure_shares(step: TrainingStep, images: Tensor, labels: Tensor) -> Shares:
    """Return the median seconds in each phase over a few steps; on CUDA, device time between events.

    Backward is the time in autograd's backward pass, recomputation included, and the time that a rule reports as
    backward (:func:`sid_core.phases.enter`). Gradients that a rule computes by hand without reporting it count as
    forward. The optimizer's time includes the release of the old gradients.

    Args:
        step: the training step, warm; its weights change.
        images: one batch, ``[B, channels, H, W]``, on the step's device.
        labels: ``[B]``, int64.
    """
    clock = clock_for(images.device)
    with collector_paused():
        steps = [_seconds_by_phase(step, images, labels, clock) for _ in range(_STEPS)]
    backward = [seconds["backward"] for seconds in steps if "backward" in seconds]
    return Shares(
        forward_seconds=statistics.median(seconds["forward"] for seconds in steps),
        backward_seconds=statistics.median(backward) if backward else None,
        optimizer_seconds=statistics.median(seconds["optimizer"] for seconds in steps),
    )


def _seconds_by_phase(step: TrainingStep, images: Tensor, labels: Tensor, clock: Clock) -> dict[Phase, float]:
    """Return the seconds of one step in each phase that it enters."""
    phases: list[Phase] = ["optimizer"]  # a step begins with the release of the old gradients
    marks = [clock.mark()]

    def listen(phase: Phase, _module: int | None) -> None:
        marks.append(clock.mark())
        phases.append(phase)

    with follow_phases(listen):
        step(images, labels)
        marks.append(clock.mark())
    totals: defaultdict[Phase, float] = defaultdict(float)
    for phase, seconds in zip(phases, clock.seconds_between(marks), strict=True):
        totals[phase] += seconds
    return totals
