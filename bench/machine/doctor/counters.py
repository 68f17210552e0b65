"""Checks of what happened between two looks: other processes, time that a host took away, throttling, load."""

import os
import time
from dataclasses import dataclass

from bench.machine.doctor.check import Check, judge
from bench.machine.system import System

_OTHERS_CORES = 0.1
_OTHERS_SECONDS = 0.05  # processes are charged in ticks of 0.01 s
_STEAL_SHARE = 0.01
_LOAD_SHARE = 0.25
_SHOWN_PROCESSES = 3
_SHOWN_CORES = 0.01
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counters:
    """Counters at one moment; each is None where the machine does not keep it.

    Attributes:
        at_seconds: the moment, on a clock that only runs forward.
        busy_seconds: time that the usable CPUs have worked, for anybody.
        all_seconds: time that the usable CPUs have had, idle or not.
        steal_seconds: time in which they were ready and the host ran something else.
        own_seconds: CPU time of ourselves and all that we started.
        throttle_events: how often their cores were slowed down for heat.
    """

    at_seconds: float
    busy_seconds: float | None
    all_seconds: float | None
    steal_seconds: float | None
    own_seconds: float | None
    throttle_events: int | None


def read_counters(system: System) -> Counters:
    """The counters now. Takes about a millisecond."""
    ticks = _cpu_ticks(system)
    # user nice system idle iowait irq softirq steal; guests' time is in user and nice already
    busy = [sum(cpu[:3]) + sum(cpu[5:7]) for cpu in ticks]
    return Counters(
        at_seconds=time.monotonic(),
        busy_seconds=sum(busy) / _TICKS_PER_SECOND if ticks else None,
        all_seconds=sum(sum(cpu[:8]) for cpu in ticks) / _TICKS_PER_SECOND if ticks else None,
        steal_seconds=sum(cpu[7] for cpu in ticks) / _TICKS_PER_SECOND if ticks else None,
        own_seconds=_own_seconds(system),
        throttle_events=_throttle_events(system),
    )


def other_processes(system: System, before: Counters, after: Counters, largest: dict[str, float] | None) -> Check:
    """CPU time on the usable CPUs that was not ours.

    Args:
        system: the machine.
        before: counters at the beginning of the interval.
        after: counters at its end.
        largest: cores taken by single processes, the largest first; None where they were not looked at.
    """
    found, cores, used = None, 0.0, 0.0
    seconds = after.at_seconds - before.at_seconds
    busy, own = _grown(before.busy_seconds, after.busy_seconds), _grown(before.own_seconds, after.own_seconds)
    if busy is not None and own is not None and seconds > 0:
        used = max(0.0, busy - own)
        cores = used / seconds
        found = f"{cores:.2f} of {system.core_count} usable CPUs taken"
        named = [f"{name} {share:.2f}" for name, share in (largest or {}).items() if share >= _SHOWN_CORES]
        found += f": {', '.join(named[:_SHOWN_PROCESSES])}" if named else ""
    is_bad = cores > _OTHERS_CORES and used > _OTHERS_SECONDS
    return judge("other processes", found, is_bad, "they take turns with what is measured: end them, or wait")


def virtual_machine(system: System, before: Counters, after: Counters) -> Check:
    """Whether this is a virtual machine, and the time that its host took away."""
    stolen, whole = (
        _grown(before.steal_seconds, after.steal_seconds),
        _grown(before.all_seconds, after.all_seconds),
    )
    share = stolen / whole if stolen is not None and whole else None
    kind = system.virtualisation
    if share is None and kind != "none":
        return judge("virtual machine", None, False, "")
    steal = f", {share:.1%} of CPU time stolen" if share is not None and kind != "none" else ""
    return judge(
        "virtual machine",
        ("no" if kind == "none" else kind or "cannot be told") + steal,
        share is not None and share > _STEAL_SHARE,
        "the host runs other guests on these CPUs: repeat later, or measure elsewhere",
    )


def throttling(before: Counters, after: Counters) -> Check:
    """Whether heat has slowed the processor down in the interval."""
    events = _grown(before.throttle_events, after.throttle_events)
    return judge(
        "thermal throttling",
        None if events is None else f"{events:.0f} times now, {after.throttle_events} since the machine started",
        bool(events),
        "the processor is too hot to keep its clock: cool it, or turn turbo off",
    )


def load(system: System) -> Check:
    """The load average of the last minute, ourselves included."""
    words = (system.text("proc/loadavg") or "").split()
    cores = system.core_count
    if not words or cores is None:
        return judge("load average", None, False, "")
    return judge(
        "load average",
        f"{float(words[0]):.2f} in the last minute, for {cores} usable CPUs",
        float(words[0]) > _LOAD_SHARE * cores,
        "the machine is not at rest: end what runs, or wait a minute",
    )


def process_seconds(system: System) -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process that can be seen, by its number, ourselves left out."""
    seconds = {}
    for folder in system.folders("proc", "[0-9]*"):
        name, times = _process(system, int(folder.rpartition("/")[2]))
        if times is not None:
            seconds[int(folder.rpartition("/")[2])] = (name, sum(times[:2]))
    seconds.pop(system.pid, None)
    return seconds


def largest_processes(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], seconds: float
) -> dict[str, float]:
    """Cores that each process took over ``seconds``, the largest first, by name and number."""
    shares = {
        f"{name} (pid {pid})": (used - before.get(pid, (name, used))[1]) / seconds
        for pid, (name, used) in after.items()
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _grown(before: float | None, after: float | None) -> float | None:
    """How far a counter has run, None where it is not kept; one that was set back has not run."""
    return None if before is None or after is None else max(0, after - before)


def _cpu_ticks(system: System) -> list[list[int]]:
    """The ticks of each usable CPU, eight kinds; empty where the system does not count them."""
    ticks = []
    for line in (system.text("proc/stat") or "").splitlines():
        name, *values = line.split()
        if not name.startswith("cpu"):
            break  # the CPUs come first
        number = name.removeprefix("cpu")
        if number and (system.cpus is None or int(number) in system.cpus) and len(values) >= 8:
            ticks.append([int(value) for value in values[:8]])
    return ticks if any(map(any, ticks)) else []  # some sandboxes have the file and no counts in it


def _process(system: System, pid: int) -> tuple[str, list[float] | None]:
    """Name and CPU seconds of a process: user, system, and the two of its children that have ended; None if gone."""
    # "PID (NAME) STATE PPID ...": the name may hold blanks and parentheses
    front, _, back = (system.text(f"proc/{pid}/stat") or "").rpartition(")")
    values = back.split()
    times = [int(value) / _TICKS_PER_SECOND for value in values[11:15]] if len(values) >= 15 else None
    return front.partition("(")[2], times


def _own_seconds(system: System) -> float | None:
    """CPU time of our process and all that descend from it; None where the system does not list children."""
    total, waiting = 0.0, [system.pid]
    while waiting:
        pid = waiting.pop()
        _, times = _process(system, pid)
        children = system.text(f"proc/{pid}/task/{pid}/children")
        if pid == system.pid and (times is None or children is None):
            return None
        total += sum(times or ())
        waiting += map(int, (children or "").split())
    return total


def _throttle_events(system: System) -> int | None:
    cores = {min(system.siblings(cpu)) for cpu in system.cpus or ()}
    counts = [
        system.number(f"sys/devices/system/cpu/cpu{core}/thermal_throttle/{kind}_throttle_count")
        for core in sorted(cores)
        for kind in ("core", "package")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
