"""All checks together: once for a person, and for each cell."""

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

from bench.machine.doctor.check import Check
from bench.machine.doctor.counters import (
    Counters,
    largest_processes,
    load,
    other_processes,
    process_seconds,
    read_counters,
    throttling,
    virtual_machine,
)
from bench.machine.doctor.gpu import device_checks, gpu_checks
from bench.machine.doctor.memory import memory_checks
from bench.machine.doctor.settings import affinity, governor, quota, smt, threads, turbo
from bench.machine.system import System, this_system

_INTERVAL_SECONDS = 1.0


def diagnose(system: System, interval_seconds: float = _INTERVAL_SECONDS) -> list[Check]:
    """Every check of the machine as it is before a sweep.

    Args:
        system: the machine.
        interval_seconds: how long to look at other processes, stolen time and throttling.
    """
    processes, before = process_seconds(system), read_counters(system)
    time.sleep(interval_seconds)
    after = read_counters(system)
    seconds = after.at_seconds - before.at_seconds
    largest = largest_processes(processes, process_seconds(system), seconds)
    return [
        load(system),
        *_happened(system, before, after, largest),
        *_clock_settings(system),
        smt(system, None),
        threads(system, None, None),
        affinity(system, None),
        quota(system),
        *memory_checks(system),
        *gpu_checks(),
    ]


class CellWatch:
    """Looks at the machine around a cell, without waiting and in a few milliseconds.

    Other processes, stolen time and throttling are taken from the kernel's counters between the making of the watch
    and :meth:`findings`, that is over the cell itself. The load average is left out, because the cell itself is in it.
    What sets the clocks is read once a sweep. A GPU is looked at when its cell has ended, so its processes are others'.
    """

    def __init__(self, system: System | None = None) -> None:
        self._system = system or this_system()
        self._before = read_counters(self._system)

    def findings(self, environment: Mapping[str, Any]) -> dict[str, str]:
        """What was found by each check that warns, by the name of the check.

        Args:
            environment: the record's; its ``threads`` (of each of its ``ranks``), ``pinned_cpus`` and ``gpu_uuid``
                count where they are known.
        """
        system, pinned = self._system, environment.get("pinned_cpus")
        count = environment.get("threads")
        cpus = frozenset(pinned) if pinned else None
        checks = [
            *_happened(system, self._before, read_counters(system), None),
            *_clock_settings(system),
            smt(system, cpus),
            threads(system, cpus, count and count * environment.get("ranks", 1)),
            affinity(system, cpus),
            quota(system),
            *memory_checks(system),
        ]
        if environment.get("gpu_uuid"):
            checks += device_checks(environment["gpu_uuid"], environment["device"])
        return {check.name: check.found for check in checks if check.verdict == "warn"}


def _happened(system: System, before: Counters, after: Counters, largest: dict[str, float] | None) -> list[Check]:
    return [
        other_processes(system, before, after, largest),
        virtual_machine(system, before, after),
        throttling(before, after),
    ]


@cache
def _clock_settings(system: System) -> tuple[Check, Check]:
    """One file a CPU, which takes too long to be read for each cell of a machine with many."""
    return governor(system), turbo(system)
