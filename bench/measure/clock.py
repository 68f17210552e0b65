"""Clocks for steps on the CPU and on CUDA, and quiet while they run."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

import torch

# "The resolution is approximately 0.5 microseconds", the CUDA runtime's reference says of elapsed times.
_CUDA_EVENT_RESOLUTION_SECONDS = 5e-7


class Clock(Protocol):
    """Takes marks in a running program, and tells the seconds between them afterwards.

    Attributes:
        resolution_seconds: the shortest time that it can tell from none.
    """

    resolution_seconds: float

    def mark(self) -> Any:
        """A mark at this point of the program."""

    def seconds_between(self, marks: Sequence[Any]) -> list[float]:
        """Seconds from each mark to the next, one fewer than there are marks."""


class CpuClock:
    """Wall-clock time."""

    def __init__(self) -> None:
        self.resolution_seconds = time.get_clock_info("perf_counter").resolution

    def mark(self) -> float:
        """The time now."""
        return time.perf_counter()

    def seconds_between(self, marks: Sequence[float]) -> list[float]:
        """Seconds from each mark to the next."""
        return [end - start for start, end in pairwise(marks)]


class CudaClock:
    """Device time between events in the stream; the host waits once, for the last of them."""

    resolution_seconds = _CUDA_EVENT_RESOLUTION_SECONDS

    def mark(self) -> torch.cuda.Event:
        """An event behind all that was put into the stream so far."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds_between(self, marks: Sequence[torch.cuda.Event]) -> list[float]:
        """Seconds from each event to the next, when the last has come."""
        marks[-1].synchronize()
        return [start.elapsed_time(end) / 1000 for start, end in pairwise(marks)]  # events count milliseconds


def clock_for(device: torch.device) -> Clock:
    """The clock that tells how long ``device`` works."""
    return CudaClock() if device.type == "cuda" else CpuClock()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collects garbage, then keeps Python's collector from running in the middle of a measurement."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
