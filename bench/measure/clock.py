"""Clocks for steps on the CPU and on CUDA, and a pause of the garbage collector."""

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

import torch

from bench.store.collection import no_collection

# The CUDA runtime's reference on elapsed times: "The resolution is approximately 0.5 microseconds".
_CUDA_EVENT_RESOLUTION_SECONDS = 5e-7


class Clock(Protocol):
    """Records marks while a program runs, and computes the seconds between them afterwards.

    Attributes:
        resolution_seconds: the shortest time that the clock can resolve.
    """

    resolution_seconds: float

    def mark(self) -> Any:
        """Return a mark at this point of the program."""

    def seconds_between(self, marks: Sequence[Any]) -> list[float]:
        """Return the seconds from each mark to the next, one fewer than there are marks."""


class CpuClock:
    """Wall-clock time."""

    def __init__(self) -> None:
        self.resolution_seconds = time.get_clock_info("perf_counter").resolution

    def mark(self) -> float:
        """Return the current time."""
        return time.perf_counter()

    def seconds_between(self, marks: Sequence[float]) -> list[float]:
        """Return the seconds from each mark to the next."""
        return [end - start for start, end in pairwise(marks)]


class CudaClock:
    """Device time between events in the stream; the host waits only for the last event."""

    resolution_seconds = _CUDA_EVENT_RESOLUTION_SECONDS

    def mark(self) -> torch.cuda.Event:
        """Return an event after all work in the stream so far."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds_between(self, marks: Sequence[torch.cuda.Event]) -> list[float]:
        """Wait for the last event, and return the seconds from each event to the next."""
        marks[-1].synchronize()
        return [start.elapsed_time(end) / 1000 for start, end in pairwise(marks)]  # elapsed_time is in milliseconds


def clock_for(device: torch.device) -> Clock:
    """Return the clock for work on ``device``."""
    return CudaClock() if device.type == "cuda" else CpuClock()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Collect garbage, then disable Python's garbage collector in the context.

    A collection during a measurement would take time, and free cycles at a moment that depends on earlier work.
    """
    gc.collect()
    with no_collection():
        yield
