"""The doctor's check of how fast threads exchange data, which needs torch's threads."""

import statistics

import torch

from bench.analysis.reliability import SLOW_EXCHANGE
from bench.machine.doctor.check import Check, judge
from bench.machine.system import System
from bench.measure.latency.probe import ParallelProbe

_REPEATS = 9


def exchange_check(system: System) -> Check:
    """Compares the speed at which threads on all usable CPUs exchange data with that of one thread."""
    cpus = system.core_count
    if cpus is None or cpus < 2:
        return judge("data exchange", None if cpus is None else "one CPU", False, "")
    speed = exchange_speed(cpus)
    return judge(
        "data exchange",
        f"{cpus} threads exchange data at {100 * speed:.0f} % of the speed of one",
        speed < SLOW_EXCHANGE,
        "cores are far apart or busy, perhaps for a moment: run --threads 1, which such a state does not change",
    )


def exchange_speed(threads: int) -> float:
    """Return the median of a few probes (:meth:`bench.measure.latency.probe.ParallelProbe.exchange_speed`)."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        probe = ParallelProbe(threads)
        return statistics.median(probe.exchange_speed() for _ in range(_REPEATS))
    finally:
        torch.set_num_threads(before)
