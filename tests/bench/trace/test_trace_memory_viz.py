"""The memory snapshot of a traced step, read by PyTorch's own tools and by the rules of its viewer."""

import pickle
import pickletools
from collections.abc import Iterable
from functools import cache
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from made_events import changes, step_of
from torch.cuda import _memory_viz
from traced_steps import CASES, traced

from bench.analysis.step_trace.memory_snapshot import dumped, snapshot_of
from bench.store.traced_step import Created

CREATED = get_args(Created)
# What the parser of MemoryViz.js knows, besides protocols 2 to 4.
_VIEWER_KNOWS = """
APPEND APPENDS BINFLOAT BINGET BININT BININT1 BININT2 BINPUT BINUNICODE DICT EMPTY_DICT EMPTY_LIST EMPTY_TUPLE FRAME
LIST LONG1 LONG_BINGET LONG_BINPUT MARK MEMOIZE NEWFALSE NEWTRUE NONE PROTO SETITEM SETITEMS SHORT_BINUNICODE STOP TUPLE
TUPLE1 TUPLE2 TUPLE3
"""
_ENTRY = {"action", "addr", "size", "stream", "frames", "time_us", "pool_id"}
_ACTIONS = {"alloc", "free_requested", "free_completed", "segment_alloc", "snapshot"}

each_case = pytest.mark.parametrize("case", CASES)


@cache
def snapshot(case: str) -> dict[str, Any]:
    loaded: dict[str, Any] = pickle.loads(dumped(snapshot_of(traced(case))))
    return loaded


def lines(flame_graph: str) -> str:
    return flame_graph


def peak(trace: Iterable[dict[str, Any]], categories: Iterable[str] | None = None) -> int:
    """The largest sum of live blocks, by the rules of the viewer: a block is live until its ``free_completed``."""
    live: dict[int, int] = {}
    highest = 0
    for entry in trace:
        if entry["action"] == "alloc" and (categories is None or entry["category"] in categories):
            assert entry["addr"] not in live
            live[entry["addr"]] = entry["size"]
            highest = max(highest, sum(live.values()))
        elif entry["action"] == "free_completed":
            live.pop(entry["addr"], None)
    return highest


def check(found: dict[str, Any]) -> None:
    """What PyTorch's docstring and its viewer ask of any snapshot."""
    (trace,) = found["device_traces"]
    blocks = {}
    for entry in trace:
        assert set(entry) >= _ENTRY
        assert entry["action"] in _ACTIONS
        assert all(set(frame) == {"filename", "line", "name"} for frame in entry["frames"])
        begin, end = entry["addr"], entry["addr"] + entry["size"]
        if entry["action"] == "alloc":
            assert all(end <= other or other + size <= begin for other, size in blocks.items())  # none overlaps
            blocks[begin] = entry["size"]
        elif entry["action"] == "free_requested":
            assert blocks[begin] == entry["size"]
        elif entry["action"] == "free_completed":
            assert blocks.pop(begin) == entry["size"]
    times = [entry["time_us"] for entry in trace]
    assert times == sorted(times)
    (segment,) = found["segments"]
    address = segment["address"]
    for block in segment["blocks"]:
        assert block["address"] == address
        address += block["size"]
    assert address == segment["address"] + segment["total_size"]
    active = {block["address"]: block["size"] for block in segment["blocks"] if block["state"] == "active_allocated"}
    assert active == blocks  # what was allocated and not freed
    assert segment["allocated_size"] == sum(blocks.values())
    # Without it, the viewer stops with an error at categories that lack it.
    assert "unknown" in {entry.get("category") for entry in trace}


@each_case
def test_the_peak_of_the_trace_is_the_peak_of_the_exact_instrument(case: str) -> None:
    found = snapshot(case)
    check(found)
    (trace,) = found["device_traces"]
    assert peak(trace) == traced(case).memory.peak_total_bytes
    assert peak(trace, CREATED) == traced(case).memory.peak_activation_bytes


@each_case
def test_pytorchs_own_tools_read_it(case: str) -> None:
    found = snapshot(case)
    (trace,), (segment,) = found["device_traces"], found["segments"]
    summary = _memory_viz.segsum(found)
    assert f"total_allocated: {_memory_viz.Bytes(segment['allocated_size'])}\n" in summary
    told = _memory_viz.trace(found)
    allocations = [entry for entry in trace if entry["action"] == "alloc"]
    assert told.count(" = ") == len(allocations) + 1  # and the segment
    assert told.count("\ndel ") == sum(entry["action"] == "free_requested" for entry in trace) > 0
    for by in (_memory_viz.memory, _memory_viz.segments):
        # Each line ends with bytes; blocks in use and gaps make up the segment.
        sizes = [int(line.rpartition(" ")[2]) for line in by(found, format_flamegraph=lines).splitlines()]
        assert sum(sizes) == segment["total_size"]
    assert "Active Memory Timeline" in _memory_viz.trace_plot(found)
    assert "Allocator State History" in _memory_viz.segment_plot(found)


def test_the_viewers_parser_knows_every_code_of_the_file() -> None:
    data = dumped(snapshot_of(traced("bp on a pipeline")))
    codes = [(code.name, argument) for code, argument, _ in pickletools.genops(data)]
    assert {name for name, _ in codes} <= {*_VIEWER_KNOWS.split()}
    assert codes[0][0] == "PROTO"
    assert 2 <= codes[0][1] <= 4
    addresses = [entry["addr"] for entry in pickle.loads(data)["device_traces"][0]]
    assert max(addresses) < 2**53  # the numbers of the viewer


def test_a_block_tells_operator_module_and_code() -> None:
    (trace,) = snapshot("bp on a pipeline")["device_traces"]
    (frames, *_) = (
        entry["frames"]
        for entry in trace
        if entry["action"] == "alloc" and entry["frames"][0]["name"] == "aten::convolution"
    )
    assert frames[1]["name"].startswith("local_modules.0.stage.")
    assert frames[2]["filename"].endswith(".py")
    assert frames[2]["line"] > 0
    assert any(frame["filename"].endswith("bench/train/step.py") for frame in frames[2:])
    assert not any("/torch/" in frame["filename"] or "/measure/" in frame["filename"] for frame in frames)


@settings(deadline=None)
@given(changes())
def test_any_events_make_a_sound_snapshot(events: list[tuple[int, int, str, str]]) -> None:
    found = snapshot_of(step_of(events))
    if not events:
        assert found == {"segments": [], "device_traces": [[]]}
        return
    check(found)
    total = highest = 0
    for _, size, *_ in events:
        total += size
        highest = max(highest, total)
    assert peak(found["device_traces"][0]) == highest
    _memory_viz.segsum(found)


def test_a_step_on_cuda_has_the_snapshot_of_pytorchs_recorder() -> None:
    theirs = {"segments": [], "device_traces": [[{"action": "alloc", "addr": 1, "size": 2}]]}
    assert snapshot_of(traced("bp").model_copy(update={"device_snapshot": theirs})) == theirs
