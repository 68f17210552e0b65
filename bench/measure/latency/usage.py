"""What the kernel counts of this process while steps run: page faults and context switches, per step."""

import resource
from collections.abc import Sequence
from typing import NamedTuple

from bench.store.measurements.latency import StepUsage


class Usage(NamedTuple):
    """Counts of all threads of this process since it was started."""

    minor_faults: int
    voluntary_switches: int
    involuntary_switches: int


def read_usage() -> Usage:
    """Return the counts at this moment."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(used.ru_minflt, used.ru_nvcsw, used.ru_nivcsw)


def per_step(legs: Sequence[tuple[Usage, Usage]], loops: int) -> StepUsage:
    """Return the mean counts per step.

    Args:
        legs: the counts before and after each leg.
        loops: the steps of a leg.
    """
    steps = len(legs) * loops
    totals = [sum(after[index] - before[index] for before, after in legs) / steps for index in range(3)]
    return StepUsage(minor_faults=totals[0], voluntary_switches=totals[1], involuntary_switches=totals[2])
