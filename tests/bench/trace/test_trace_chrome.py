"""The Chrome trace of a traced step: legal by the Trace Event Format, on one clock, and with the instrument's bytes."""

import json
from collections import defaultdict
from functools import cache
from typing import Any

import pytest
from traced_steps import CASES, traced

from bench.analysis.step_trace.chrome_trace import COUNTER, COUNTER_BY_CATEGORY, chrome_trace
from bench.store.traced_step import CLOCK, STEP

TITLE = 'a "title" — of the step'
each_case = pytest.mark.parametrize("case", CASES)
# The fields that the Trace Event Format asks of each phase.
_NEEDED = {
    "X": {"name", "ts", "dur", "pid", "tid"},
    "C": {"name", "ts", "pid", "args"},
    "M": {"name", "pid", "args"},
    "i": {"name", "ts", "pid", "tid", "s"},
    "s": {"name", "ts", "pid", "tid", "id"},
    "f": {"name", "ts", "pid", "tid", "id"},
}


@cache
def events(case: str) -> list[dict[str, Any]]:
    made = json.loads(json.dumps(chrome_trace(traced(case), TITLE), allow_nan=False))
    assert isinstance(made["traceEvents"], list)
    found: list[dict[str, Any]] = made["traceEvents"]
    return found


def process_of(found: list[dict[str, Any]], kind: str) -> int:
    (process,) = (
        event["pid"]
        for event in found
        if event["name"] == "process_name" and event["args"]["name"] == f"{kind}: {TITLE}"
    )
    return int(process)


@each_case
def test_every_event_is_legal(case: str) -> None:
    found = events(case)
    for event in found:
        assert _NEEDED[event["ph"]] <= set(event), event
        assert type(event["pid"]) is int
        assert type(event.get("tid", 0)) is int
        assert isinstance(event["name"], str)
        assert event["name"]
        for field in ("ts", "dur"):
            value = event.get(field, 0)
            assert isinstance(value, int | float)
            assert value >= 0
        assert isinstance(event.get("args", {}), dict)
        if event["ph"] == "C":
            assert all(type(value) is int and value >= 0 for value in event["args"].values())
    named = {event["pid"] for event in found if event["name"] == "process_name"}
    assert {event["pid"] for event in found} == named
    threads = {(event["pid"], event["tid"]) for event in found if event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in found if event["ph"] == "X"} <= threads


@each_case
def test_slices_of_a_track_nest(case: str) -> None:
    found = events(case)
    modules = process_of(found, "modules")
    tracks = defaultdict(list)
    for event in found:
        if event["ph"] == "X" and event["pid"] == modules:
            tracks[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert tracks
    for slices in tracks.values():
        open_slices: list[tuple[float, float]] = []
        for begin, end in sorted(slices, key=lambda one: (one[0], -one[1])):
            while open_slices and open_slices[-1][1] <= begin:
                open_slices.pop()
            assert not open_slices or end <= open_slices[-1][1] + 1e-3
            open_slices.append((begin, end))


@each_case
def test_the_counter_peaks_at_the_peak_of_the_exact_instrument(case: str) -> None:
    counters = [event for event in events(case) if event["ph"] == "C"]
    totals = [event["args"]["bytes"] for event in counters if event["name"] == COUNTER]
    assert max(totals) == traced(case).memory.peak_activation_bytes
    assert totals[0] == 0
    by_category = [sum(event["args"].values()) for event in counters if event["name"] == COUNTER_BY_CATEGORY]
    assert by_category == totals


@each_case
def test_modules_and_counters_lie_within_the_step_of_the_profiler(case: str) -> None:
    found = events(case)
    (step,) = (event for event in found if event["name"] == STEP)
    begin, end = step["ts"], step["ts"] + step["dur"]
    own = {process_of(found, "modules"), process_of(found, "memory")}
    times = [event["ts"] for event in found if event["pid"] in own and event["ph"] in "XC"]
    assert begin <= min(times)
    assert max(times) <= end + 1000  # what is freed when the step has returned
    operators = [event for event in found if event.get("cat") == "cpu_op"]
    assert {event["pid"] for event in operators} == {process_of(found, "operators")}


def test_each_part_of_a_pipeline_has_a_track_with_its_phases() -> None:
    found = events("streamed on a pipeline")
    process = process_of(found, "modules")
    names = {
        event["tid"]: event["args"]["name"]
        for event in found
        if event["name"] == "thread_name" and event["pid"] == process
    }
    phases = defaultdict(set)
    for event in found:
        if event["ph"] == "X" and event["pid"] == process:
            phases[names[event["tid"]]].add(event["name"])
    for number in range(3):
        assert {"forward", "backward"} <= phases[f"local_modules.{number}.stage"]
        assert {"forward", "backward"} <= phases[f"local_modules.{number}.head"]
    assert "update" in phases["outside of modules"]


def test_operators_of_the_instrument_run_while_the_profiler_sees_them() -> None:
    # The profiler sees a product of matrices twice: when it is called, and when the instrument runs it.
    found = events("streamed")
    case = traced("streamed")
    process = process_of(found, "modules")
    begin = min(event["ts"] for event in found if event["pid"] == process and event["ph"] == "X")
    begin -= 1e6 * case.runs.start_seconds[0]
    ours = [
        (begin + 1e6 * start, begin + 1e6 * end)
        for name, start, end in zip(case.runs.name, case.runs.start_seconds, case.runs.end_seconds, strict=True)
        if case.operators[name] == "aten::mm"
    ]
    theirs = sorted((event["ts"], event["ts"] + event["dur"]) for event in found if event["name"] == "aten::mm")
    assert len(theirs) == 2 * len(ours) > 0
    slack = 50  # microseconds
    for (begin, end), called, ran in zip(ours, theirs[::2], theirs[1::2], strict=True):
        assert called[0] - slack <= begin <= ran[0] + slack
        assert ran[1] - slack <= end <= called[1] + slack
    assert not any(event["name"] == CLOCK for event in found)
