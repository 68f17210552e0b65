"""All checks of the machine: for ``sid-bench doctor``, and around each cell."""

import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from bench.machine.doctor.check import Check
from bench.machine.doctor.cores import cores_at_once
from bench.machine.doctor.counters import (
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
    """Runs every check of the machine, as it is before a sweep.

    Args:
        system: the machine.
        interval_seconds: how long to watch other processes, stolen time and throttling.
    """
    processes, before = process_seconds(), read_counters(system)
    time.sleep(interval_seconds)
    after = read_counters(system)
    seconds = after.at_seconds - before.at_seconds
    largest = largest_processes(processes, process_seconds(), seconds)
    return [
        load(system),
        other_processes(system, before, after, largest),
        virtual_machine(system, before, after),
        throttling(before, after),
        *_clock_settings(system),
        smt(system, None),
        cores_at_once(system),
        threads(system, None, None),
        affinity(system, None),
        quota(system),
        *memory_checks(system),
        *gpu_checks(),
    ]


class CellWatch:
    """Checks the machine around a cell, without waiting, in a few milliseconds.

    Other processes, stolen time and throttling are checked by the kernel's counters, from the construction of the watch
    to :meth:`findings`. The load average is left out, because the cell itself contributes to it. The governor and turbo
    are read once per sweep. A GPU is checked after its cell has ended, so all processes on it are others'.

    Args:
        system: the machine; None for the one that this process runs on.
        own: ids of processes that run cells for this one, whose time is not that of other processes.
        alone: whether no other cell of the sweep runs meanwhile. Otherwise other processes are not checked: the time
            of cells that run is counted only when they have ended.
    """

    def __init__(self, system: System | None = None, own: Iterable[int] = (), alone: bool = True) -> None:
        self._system = system or this_system()
        self._own = frozenset(own)
        self._alone = alone
        self._before = read_counters(self._system, self._own)

    def findings(self, environment: Mapping[str, Any]) -> dict[str, str]:
        """The results of the checks that warn, by the name of the check.

        Args:
            environment: of the record. Its ``threads`` (per rank), ``ranks``, ``pinned_cpus`` and ``gpu_uuid`` are used
                where they are known.
        """
        system, pinned = self._system, environment.get("pinned_cpus")
        count = environment.get("threads")
        cpus = frozenset(pinned) if pinned else None
        before, after = self._before, read_counters(system, self._own)
        checks = [
            *([other_processes(system, before, after, None)] if self._alone else []),
            virtual_machine(system, before, after),
            throttling(before, after),
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


@cache
def _clock_settings(system: System) -> tuple[Check, Check]:
    """Reads one file per CPU, which takes too long to do for each cell on a machine with many CPUs."""
    return governor(system), turbo(system)
