"""The spans of a trace as lanes to draw: one per module or group of neighbouring modules, in per cent of the step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.analysis.locking import step_seconds, waits_by_module
from bench.store.measurements.trace import Trace

MOST_LANES = 16  # of modules
_LEAST_SHARE = 0.02  # of a step that the modules take; below it, they would be too thin to see
_COLLAPSED = 4.0  # per cent of the drawing: a stretch in which no module computes
_DIGITS = 9  # of seconds: times that are closer to each other are one
_MERGED = 0.3  # per cent of the drawing: spans of one phase that are no further apart are one


class Bar(NamedTuple):
    """A time in which a lane computes, on the axis of its drawing."""

    start: float
    end: float
    phase: str


@dataclass(frozen=True)
class Lane:
    """A module, neighbouring modules of one rank, or what belongs to no single module.

    Attributes:
        rank: rank.
        modules: numbers of the modules; empty for what belongs to none.
        bars: in order of time, from 0 to 100 for each step.
        wait: from the end of the first forward span to the complete gradient, where the modules then wait; else None.
        start: per cent of the step before the first span.
        computes: per cent of the step in which there is a span, waiting for other ranks left out.
        complete: per cent of the step until the gradient of the first of the modules is complete; None if unknown.
        locked: per cent of the step in which that module waits for its gradient; None if unknown.
    """

    rank: int
    modules: tuple[int, ...]
    bars: tuple[Bar, ...]
    wait: tuple[float, float] | None
    start: float
    computes: float
    complete: float | None
    locked: float | None


class _Span(NamedTuple):
    rank: int
    module: int | None
    phase: str
    start: float
    end: float


def is_mostly_trunk(traces: Sequence[Trace]) -> bool:
    """Return whether the modules of any of ``traces`` take less than 2 % of the step all together."""
    shares = [
        sum(end - start for module, start, end in zip(trace.module, trace.start_seconds, trace.end_seconds, strict=True)
            if module is not None) / (step_seconds(trace) * trace.steps)
        for trace in traces
        if any(module is not None for module in trace.module)
    ]  # fmt: skip
    return any(share < _LEAST_SHARE for share in shares)


def lanes_of(trace: Trace, collapse: bool = False) -> list[Lane]:
    """Return the lanes of ``trace`` from top to bottom: by rank, its modules, then what belongs to none of them.

    If there are more than 16 modules, neighbouring modules of a rank share one.

    Args:
        trace: one or several steps.
        collapse: whether a stretch of time in which no module computes has the same small width whatever it takes.
    """
    columns = (trace.rank, trace.module, trace.phase, trace.start_seconds, trace.end_seconds)
    spans = [_Span(*values) for values in zip(*columns, strict=True)]
    length = step_seconds(trace)
    place = _collapsed(spans) if collapse else lambda seconds: 100 * seconds / length
    waits = {wait.module: wait for wait in waits_by_module(trace)}
    lanes = []
    for rank, modules in _groups(spans):
        members = modules or (None,)
        own = sorted(
            (span for span in spans if span.rank == rank and span.module in members), key=lambda span: span.start
        )
        wait = waits.get(modules[0]) if modules else None
        lanes.append(
            Lane(
                rank=rank,
                modules=modules,
                bars=_merged([Bar(place(span.start), place(span.end), span.phase) for span in own]),
                wait=_wait(own, place) if wait is not None and wait.locked > 0 and trace.steps == 1 else None,
                start=100 * own[0].start / length,
                computes=100 * sum(span.end - span.start for span in own if span.phase != "w") / length / trace.steps,
                complete=None if wait is None else 100 * wait.complete,
                locked=None if wait is None else 100 * wait.locked,
            )
        )
    return lanes


def _groups(spans: Sequence[_Span]) -> list[tuple[int, tuple[int, ...]]]:
    """Return (rank, modules) of each lane."""
    ranks = sorted({span.rank for span in spans})
    modules = {
        rank: sorted({span.module for span in spans if span.rank == rank and span.module is not None}) for rank in ranks
    }
    rest = [rank for rank in ranks if any(span.rank == rank and span.module is None for span in spans)]
    size = 1
    while sum(-(-len(own) // size) for own in modules.values()) > max(MOST_LANES, len(ranks)):
        size += 1
    groups = []
    for rank in ranks:
        own = modules[rank]
        groups += [(rank, tuple(own[at : at + size])) for at in range(0, len(own), size)]
        groups += [(rank, ())] if rank in rest else []
    return groups


def _collapsed(spans: Sequence[_Span]) -> Callable[[float], float]:
    """Return the place on the axis of a time in seconds, where stretches without a module have a small, equal width."""
    rounded = [(round(span.start, _DIGITS), round(span.end, _DIGITS)) for span in spans if span.module is not None]
    joined: list[tuple[float, float]] = []
    for start, end in sorted(rounded):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((start, end))
    last = round(max(span.end for span in spans), _DIGITS)
    computing = sum(end - start for start, end in joined)
    times, places = [0.0], [0.0]
    stretches = len(joined) + 1
    width = min(_COLLAPSED, 50 / stretches)
    scale = (100 - width * stretches) / computing if computing > 0 else 0.0
    for start, end in joined:
        places += [places[-1] + width, places[-1] + width + scale * (end - start)]
        times += [start, end]
    times.append(last)
    places.append(100.0)
    return lambda seconds: float(np.interp(round(seconds, _DIGITS), times, places))


def _merged(bars: Sequence[Bar]) -> tuple[Bar, ...]:
    merged: list[Bar] = []
    for bar in bars:
        if merged and merged[-1].phase == bar.phase and bar.start - merged[-1].end <= _MERGED:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, bar.end))
        else:
            merged.append(bar)
    return tuple(merged)


def _wait(spans: Sequence[_Span], place: Callable[[float], float]) -> tuple[float, float] | None:
    ends = [span.end for span in spans if span.phase == "f"]
    starts = [span.end for span in spans if span.phase == "b"]
    return (place(ends[0]), place(starts[-1])) if ends and starts and starts[-1] > ends[0] else None
