"""Step latency relative to BP, with one thread."""

from typing import Any

from .commands import CACHE_SECONDS, COMMAND_SECONDS, Record, measured_records, method_of, part_of

_METHODS = ["bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed", "sid-vectorised"]
_SUITE = """
[[grid]]
method = METHODS
dataset = "random"
depth = 16
modules = "depth"
batch_size = 128
latency_seconds = 0.1
passes = ["latency"]
"""
_IN_PROCESSES = "threads = 1\nprocesses = 5\n"

# Commits differ in how they measure. Each way has a value of its own, so their results are not joined.
_ONE = "one process for each method beside BP"
_PAIRS = "five processes for each method beside BP"
_GROUPS = "five processes, each with all methods"

Records = dict[tuple[str, str], Record]


class Ratio:
    """Latency divided by BP's of 16 modules with 128 images of ``random``, and its 95 % interval.

    A change that makes BP's own step slower alike does not show.
    """

    params = ([_GROUPS, _PAIRS, _ONE], _METHODS)
    param_names = ("timing", "method")
    version = "1"
    timeout = COMMAND_SECONDS

    def setup_cache(self) -> Records:
        records = measured_records(_METHODS, [_SUITE + _IN_PROCESSES, _SUITE])
        return {(_timing(record, records), method_of(record)): record for record in records}

    setup_cache.timeout = CACHE_SECONDS  # type: ignore[attr-defined]

    def setup(self, records: Records, timing: str, method: str) -> None:
        self.latency = part_of(records.get((timing, method)), "latency")

    def track_ratio(self, _records: Records, _timing: str, _method: str) -> float:
        return float(self.latency["ratio_to_bp"])

    def track_low(self, _records: Records, _timing: str, _method: str) -> float:
        return float(self.latency["ratio_ci95"][0])

    def track_high(self, _records: Records, _timing: str, _method: str) -> float:
        return float(self.latency["ratio_ci95"][1])

    track_ratio.unit = "time / BP's"  # type: ignore[attr-defined]
    track_low.unit = track_high.unit = "time / BP's"  # type: ignore[attr-defined]


def _timing(record: Record, records: list[Record]) -> str:
    """Return how a record was timed: records of a group share BP's samples."""
    if record["cell"].get("processes", 1) == 1:
        return _ONE
    return _GROUPS if sum(_bp_seconds(record) == _bp_seconds(other) for other in records) > 1 else _PAIRS


def _bp_seconds(record: Record) -> Any:
    return (record.get("latency") or {}).get("bp_median_seconds")
