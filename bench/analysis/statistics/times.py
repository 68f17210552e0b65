"""Times of two methods, each as a ratio to one reference that was timed beside it in the same interleaved blocks.

Times of different processes are never divided by each other: a step of BP differs by up to 1.9 times between processes
of one machine. So a ratio of two methods is the ratio of their ratios to the reference, and one to the reference itself
needs the record of the other method alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Protocol

import numpy as np

from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.units import estimate_over, log_ratios
from bench.config.cell import Pass
from bench.store.record import Record


class Blocks(Protocol):
    """Seconds of (method, reference, reference, method) by block, and how many blocks each process ran."""

    @property
    def blocks_seconds(self) -> Sequence[Sequence[float]]: ...  # noqa: D102

    @property
    def blocks_by_process(self) -> Sequence[int]: ...  # noqa: D102

    @property
    def noisy_because(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class Timed:
    """A statistic that is a ratio of times.

    Attributes:
        measured_in: the pass that measures it.
        read: the blocks of a record, or None.
        beside: the axes in which the reference differs from the cell, ``method`` among them.
        is_rate: it is a number per time.
    """

    measured_in: Pass
    read: Callable[[Record], Blocks | None]
    beside: Mapping[str, Any]
    is_rate: bool = False

    def why_not(self, entry: Entry) -> str | None:
        """Return why the times of a record cannot be used, or None."""
        blocks = self.read(entry.record)
        if blocks is None:
            return "the record holds no times"
        if sum(blocks.blocks_by_process) != len(blocks.blocks_seconds) or min(blocks.blocks_by_process, default=0) < 1:
            return "the record does not say which blocks are of which process"
        if min(map(min, blocks.blocks_seconds)) <= 0:
            return "a time is not above 0"
        return None if blocks.noisy_because is None else f"its times are noisy: {blocks.noisy_because}"

    def log_ratio(self, entries: Sequence[Entry]) -> Estimate:
        """Return the log-ratio of a method to the reference over all processes of 1 or more records of one cell."""
        of_method, of_reference = [], []
        for blocks in (self.read(entry.record) for entry in entries):
            if blocks is not None:
                seconds = np.array(blocks.blocks_seconds)
                for start, end in pairwise(accumulate(blocks.blocks_by_process, initial=0)):
                    of_method.append(seconds[start:end, [0, 3]])
                    of_reference.append(seconds[start:end, [1, 2]])
        times = estimate_over("processes", log_ratios(of_method, of_reference))
        return times.mirrored() if self.is_rate else times
