"""The least time that a schedule over ranks allows, as a ratio to one rank, computed from times measured on one rank.

Communication takes no time here, and a core is as fast when others are busy as when it is alone. So each bound is the
best that can be reached. The difference to a measurement is the cost of communication and of shared memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from sid_core import ModuleCost, least_ratio


@dataclass(frozen=True)
class StepTimes:
    """Seconds in a step on one rank: of each module, first to last, and of the trunk.

    Attributes:
        forward: forward passes.
        free: the share of each that does not need the belief before it, in [0, 1].
        backward: backward passes.
        optimizer: updates.
        trunk: all of the trunk's, its update included.
    """

    forward: Sequence[float]
    free: Sequence[float]
    backward: Sequence[float]
    optimizer: Sequence[float]
    trunk: float

    def of_ranks(self, seconds: Sequence[float], owners: Sequence[int]) -> list[float]:
        """``seconds`` of modules added up over those of each rank."""
        ranks = max(owners) + 1
        return [
            sum(time for time, owner in zip(seconds, owners, strict=True) if owner == each) for each in range(ranks)
        ]

    @property
    def whole(self) -> list[float]:
        """Forward, backward and update of each module."""
        return [sum(parts) for parts in zip(self.forward, self.backward, self.optimizer, strict=True)]


def parallel_bound(times: StepTimes, sizes: Sequence[int]) -> float:
    """A cascade's modules backward at the same time (:mod:`sid_core.ranks.partition`); every rank runs the trunk."""
    modules = zip(times.forward, times.free, times.backward, times.optimizer, strict=True)
    costs = [
        ModuleCost(free * forward, (1 - free) * forward, backward + optimizer)
        for forward, free, backward, optimizer in modules
    ]
    return least_ratio(costs, sizes, times.trunk)


def pipelined_bound(times: StepTimes, owners: Sequence[int], batches: int) -> float:
    """Batches in a row through stages that wait for no later stage: the slowest rank, once its first input has come.

    Args:
        times: of one batch.
        owners: the rank of each stage.
        batches: in a run, at whose end all ranks have drained.
    """
    forward = times.of_ranks(times.forward, owners)
    begin = [0.0, *accumulate(forward)]
    of_ranks = times.of_ranks(times.whole, owners)
    slowest = max(start + batches * work for start, work in zip(begin, of_ranks, strict=False))
    return slowest / (batches * sum(times.whole))


def flushed_bound(times: StepTimes, owners: Sequence[int], micro_batches: int) -> float:
    """GPipe and 1F1B: the first rank updates when its last micro-batch has been through all ranks and back."""
    forward, backward = times.of_ranks(times.forward, owners), times.of_ranks(times.backward, owners)
    there_and_back = [0.0, *accumulate(map(sum, zip(forward, backward, strict=True)))]
    longest = max(
        both / micro_batches + own_forward + own_backward
        for both, own_forward, own_backward in zip(there_and_back, forward, backward, strict=False)
    )
    first_update = times.of_ranks(times.optimizer, owners)[0]
    return max(longest + first_update, max(times.of_ranks(times.whole, owners))) / sum(times.whole)


def busy_bound(times: StepTimes, owners: Sequence[int]) -> float:
    """Any schedule: the rank that has most to do does it without a pause, as zero-bubble schedules mean to."""
    return max(times.of_ranks(times.whole, owners)) / sum(times.whole)
