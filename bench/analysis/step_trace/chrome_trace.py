"""A traced step as a Chrome trace, which ``ui.perfetto.dev`` and ``chrome://tracing`` open.

To what PyTorch's profiler has recorded it adds a process of tracks, one for each part of the network, with a slice for
each phase and within it one for each module and its submodules; and a process of counters, of the bytes that the step
has created and that are live. The format is the Trace Event Format: times are in microseconds.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from bench.analysis.step_trace.breakdown import CREATED
from bench.analysis.step_trace.parts import part_of, shown
from bench.store.traced_step import CLOCK, STEP, TracedStep

COUNTER = "activation bytes"
COUNTER_BY_CATEGORY = "activation bytes by category"
_PHASES = {"f": "forward", "b": "backward", "s": "update", "w": "wait"}

Event = dict[str, Any]


class _Run(NamedTuple):
    """An operator on a track: seconds, and the names of the modules within the part, outermost first."""

    start: float
    end: float
    below: tuple[str, ...]


def chrome_trace(traced: TracedStep, title: str) -> dict[str, Any]:
    """Return the trace as a JSON object.

    Args:
        traced: the step.
        title: what the step is, for the name of its process.
    """
    profile = json.loads(traced.profile)
    # The profiler adds rows of its own under names instead of numbers of processes.
    events = [event for event in profile["traceEvents"] if isinstance(event.get("pid"), int)]
    (step,) = (event for event in events if event["name"] == STEP and event.get("cat") == "user_annotation")
    process = int(step["pid"])
    marks = sorted(event["ts"] for event in events if event["name"] == CLOCK)
    begin = marks[traced.clock.mark] - 1e6 * traced.clock.seconds
    events = [event for event in events if event["name"] != CLOCK]
    first_free = max(event["pid"] for event in events) + 1
    for event in events:
        if event["ph"] == "M" and event["name"] == "process_name" and event["pid"] == process:
            event["args"]["name"] = f"operators: {title}"
    return {
        **{key: value for key, value in profile.items() if key not in ("traceEvents", "traceName")},
        "traceEvents": [
            *events,
            *_module_tracks(traced, first_free, begin, title),
            *_counters(traced, first_free + 1, begin, title),
        ],
    }


def _module_tracks(traced: TracedStep, process: int, begin: float, title: str) -> Iterator[Event]:
    """A track for each part of the network that has run anything."""
    yield from _named(process, f"modules: {title}", 1)
    runs = traced.runs
    columns = zip(runs.module, runs.phase, runs.start_seconds, runs.end_seconds, strict=True)
    spans: dict[str, list[tuple[str, list[_Run]]]] = {}
    parts = [part_of(name) for name in traced.modules]
    for (part, letter), group in groupby(columns, key=lambda run: (parts[run[0]], run[1])):
        operators = [_Run(start, end, _below(traced.modules[module], part)) for module, _, start, end in group]
        spans.setdefault(part, []).append((letter, operators))
    order = {part: place for place, part in enumerate(dict.fromkeys(parts))}
    for track, part in enumerate(sorted(spans, key=order.__getitem__), 1):
        yield _metadata("thread_name", process, track, name=shown(part))
        yield _metadata("thread_sort_index", process, track, sort_index=track)
        for letter, operators in spans[part]:
            yield _slice(_PHASES[letter], operators, process, track, begin, shown(part))
            yield from _nested(operators, part, process, track, begin)


def _below(module: str, part: str) -> tuple[str, ...]:
    rest = module[len(part) :].strip(".")
    return tuple(rest.split(".")) if rest else ()


def _nested(runs: Sequence[_Run], path: str, process: int, track: int, begin: float) -> Iterator[Event]:
    """A slice for each submodule of ``path`` that runs without interruption, and slices of its own within it."""
    for name, group in groupby(runs, key=lambda run: run.below[:1]):
        if name:
            operators = [run._replace(below=run.below[1:]) for run in group]
            inner = f"{path}.{name[0]}"
            yield _slice(name[0], operators, process, track, begin, inner)
            yield from _nested(operators, inner, process, track, begin)


def _slice(name: str, runs: Sequence[_Run], process: int, track: int, begin: float, module: str) -> Event:
    return {
        "ph": "X",
        "cat": "module",
        "name": name,
        "pid": process,
        "tid": track,
        "ts": begin + 1e6 * runs[0].start,
        "dur": 1e6 * (runs[-1].end - runs[0].start),
        "args": {"module": module, "operators": len(runs)},
    }


def _counters(traced: TracedStep, process: int, begin: float, title: str) -> Iterator[Event]:
    """The live bytes of the step after each event, as a sum and by category."""
    yield from _named(process, f"memory: {title}", 0)
    categories, events = traced.created.category, traced.events
    live: dict[str, int] = {category: 0 for category in CREATED if category in categories}
    changes = zip(events.seconds, events.storage, events.bytes, strict=True)
    for seconds, storage, change in ((0.0, None, 0), *changes):
        if storage is not None:
            live[categories[storage]] += change
        yield _counter(COUNTER, process, begin + 1e6 * seconds, {"bytes": sum(live.values())})
        yield _counter(COUNTER_BY_CATEGORY, process, begin + 1e6 * seconds, dict(live))


def _counter(name: str, process: int, microseconds: float, values: dict[str, int]) -> Event:
    return {"ph": "C", "cat": "memory", "name": name, "pid": process, "tid": 0, "ts": microseconds, "args": values}


def _named(process: int, name: str, place: int) -> Iterator[Event]:
    yield _metadata("process_name", process, 0, name=name)
    yield _metadata("process_sort_index", process, 0, sort_index=place)


def _metadata(kind: str, process: int, track: int, **values: Any) -> Event:
    return {"ph": "M", "cat": "__metadata", "name": kind, "pid": process, "tid": track, "ts": 0, "args": values}
