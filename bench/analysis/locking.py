"""Update locking: the time between a module's forward pass and its complete gradient, from the spans of a trace."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from bench.store.measurements.trace import Trace


class ModuleWait(NamedTuple):
    """Update locking of one module, as fractions of the mean step time.

    Attributes:
        module: number of the module, from 1.
        complete: time from the start of the step until the module's gradient is complete.
        locked: time that the module waits for other modules before its gradient is complete.
    """

    module: int
    complete: float
    locked: float


class _Span(NamedTuple):
    module: int | None
    phase: str
    start: float
    end: float


def step_seconds(trace: Trace) -> float:
    """Return the seconds per step of ``trace``."""
    return max(trace.end_seconds, default=0.0) / trace.steps


def waiting_share(trace: Trace) -> float | None:
    """Return the fraction of all ranks' time spent waiting for other ranks; None if the trace has no waiting span."""
    waits = [end - start for _, phase, start, end in _spans(trace) if phase == "w"]
    if not waits:
        return None
    return sum(waits) / (len(set(trace.rank)) * trace.steps * step_seconds(trace))


def waits_by_module(trace: Trace) -> list[ModuleWait]:
    """Return the waiting time of each module, averaged over the steps of ``trace``, in order of the modules.

    A module is locked from the end of its first forward span in a step to the end of its last backward span, except
    while it computes. The optimizer's spans of each rank separate the steps. The list is empty if no span belongs to a
    module (all modules run at once), or if the steps cannot be separated.
    """
    shares: dict[int, list[tuple[float, float]]] = {}
    length = step_seconds(trace)
    spans = list(_spans(trace))
    for rank in sorted(set(trace.rank)):
        own = [span for span, of_rank in zip(spans, trace.rank, strict=True) if of_rank == rank]
        steps = [own] if trace.steps == 1 else _cut_at_optimizer(own)
        if len(steps) != trace.steps:
            return []
        begin = 0.0
        for step in steps:
            of_module: dict[int, list[_Span]] = {}
            for span in step:
                if span.module is not None:
                    of_module.setdefault(span.module, []).append(span)
            for module, own_spans in sorted(of_module.items()):
                waited = _complete_and_locked(own_spans)
                if waited is not None:
                    complete, locked = waited
                    shares.setdefault(module, []).append(((complete - begin) / length, locked / length))
            begin = step[-1].end
    return [
        ModuleWait(module, *(sum(values) / len(values) for values in zip(*of_steps, strict=True)))
        for module, of_steps in sorted(shares.items())
    ]


def locked_share(trace: Trace) -> float | None:
    """Return the fraction of a step in which a module is locked, averaged over modules; None if there is none."""
    waits = waits_by_module(trace)
    return sum(wait.locked for wait in waits) / len(waits) if waits else None


def _spans(trace: Trace) -> Iterator[_Span]:
    return map(_Span, trace.module, trace.phase, trace.start_seconds, trace.end_seconds)


def _cut_at_optimizer(spans: list[_Span]) -> list[list[_Span]]:
    """Split ``spans`` into steps, and drop spans after the last step.

    A step ends with the optimizer's spans that follow a module's backward span. Earlier optimizer spans release old
    gradients and belong to the step that they start.
    """
    steps: list[list[_Span]] = [[]]
    for is_optimizer, part in groupby(spans, key=lambda span: span.phase == "s"):
        steps[-1] += part
        if is_optimizer and any(span.phase == "b" and span.module is not None for span in steps[-1]):
            steps.append([])
    return steps[:-1]


def _complete_and_locked(spans: list[_Span]) -> tuple[float, float] | None:
    """Return when the gradient of the module of ``spans`` is complete, and how long it was locked, in seconds.

    None if the module has no forward or no backward span.
    """
    forward = [span for span in spans if span.phase == "f"]
    backward = [span for span in spans if span.phase == "b"]
    if not forward or not backward:
        return None
    ran, complete = forward[0].end, backward[-1].end
    own = sum(span.end - span.start for span in spans if span.phase in "fb" and ran <= span.start < complete)
    return complete, max(0.0, complete - ran - own)
