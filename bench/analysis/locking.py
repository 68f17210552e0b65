"""Update locking in figures: how long a module has run and waits for its gradient, by the spans of a trace."""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from bench.store.record import Trace


class ModuleWait(NamedTuple):
    """A module in one step, in shares of the mean step: when its gradient is complete, how long it was locked."""

    module: int
    complete: float
    locked: float


class _Span(NamedTuple):
    module: int | None
    phase: str
    start: float
    end: float


def step_seconds(trace: Trace) -> float:
    """The trace's length over its steps."""
    return max(trace.end_seconds, default=0.0) / trace.steps


def waiting_share(trace: Trace) -> float | None:
    """The share of all ranks' time in which they wait for each other; None where nobody says when it waits."""
    waits = [end - start for _, phase, start, end in _spans(trace) if phase == "w"]
    if not waits:
        return None
    return sum(waits) / (len(set(trace.rank)) * trace.steps * step_seconds(trace))


def waits_by_module(trace: Trace) -> list[ModuleWait]:
    """What each module waits between forward and gradient, means over the trace's steps, first module to last.

    A module is locked from the end of its first forward span of a step to the end of its last backward span, its own
    computing in between apart. Steps of several are told apart by each rank's optimizer. The list is empty where no
    module is told apart (all run at once), or where several steps are not.
    """
    shares: dict[int, list[tuple[float, float]]] = {}
    length = step_seconds(trace)
    for rank in sorted(set(trace.rank)):
        own = [span for span, of_rank in zip(_spans(trace), trace.rank, strict=True) if of_rank == rank]
        steps = [own] if trace.steps == 1 else _cut_at_optimizer(own)
        if len(steps) != trace.steps:
            return []
        begin = 0.0
        for step in steps:
            for module in sorted({span.module for span in step if span.module is not None}):
                waited = _complete_and_locked([span for span in step if span.module == module])
                if waited is not None:
                    complete, locked = waited
                    shares.setdefault(module, []).append(((complete - begin) / length, locked / length))
            begin = step[-1].end
    return [
        ModuleWait(module, *(sum(values) / len(values) for values in zip(*of_steps, strict=True)))
        for module, of_steps in sorted(shares.items())
    ]


def _spans(trace: Trace) -> Iterator[_Span]:
    return map(_Span, trace.module, trace.phase, trace.start_seconds, trace.end_seconds)


def _cut_at_optimizer(spans: list[_Span]) -> list[list[_Span]]:
    """The spans of each step, which ends with the optimizer's behind a module's backward; what follows is no step.

    The optimizer's spans before that release old gradients, and belong to the step that they begin.
    """
    steps: list[list[_Span]] = [[]]
    for is_optimizer, part in groupby(spans, key=lambda span: span.phase == "s"):
        steps[-1] += part
        if is_optimizer and any(span.phase == "b" and span.module is not None for span in steps[-1]):
            steps.append([])
    return steps[:-1]


def _complete_and_locked(spans: list[_Span]) -> tuple[float, float] | None:
    """When the gradient of the module of ``spans`` is complete, and how long it waited for it, in seconds."""
    forward = [span for span in spans if span.phase == "f"]
    backward = [span for span in spans if span.phase == "b"]
    if not forward or not backward:
        return None
    ran, complete = forward[0].end, backward[-1].end
    own = sum(span.end - span.start for span in spans if span.phase in "fb" and ran <= span.start < complete)
    return complete, max(0.0, complete - ran - own)
