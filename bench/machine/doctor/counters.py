"""Checks of what happened in an interval: other processes, time that a host took away, throttling; and the load.

The CPU times of processes come from psutil. Those of CPUs are read from ``/proc/stat``, because psutil's
``cpu_times(percpu=True)`` does not say which CPU an entry belongs to, and a CPU that is offline has none. The caller
names the processes that count as ours: to find them, psutil would read the parent of every process on the machine, at
16 microseconds each.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from bench.machine.doctor.check import Check, judge
from bench.machine.system import System

_OTHERS_CORES = 0.1
_OTHERS_SECONDS = 0.05  # the kernel counts the time of processes in ticks of 0.01 s
_STEAL_SHARE = 0.01
_LOAD_SHARE = 0.25
_SHOWN_PROCESSES = 3
_SHOWN_CORES = 0.01
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Counters:
    """Counters at one moment; each is None where the machine does not keep it.

    Attributes:
        at_seconds: the moment, on a monotonic clock.
        busy_seconds: time for which the usable CPUs have worked, for any process.
        all_seconds: time of the usable CPUs, idle or not.
        steal_seconds: time for which they were ready and the host ran something else.
        own_seconds: CPU time of the processes that count as ours, and of their children that have ended.
        throttle_events: how often the usable cores were slowed down because of heat.
    """

    at_seconds: float
    busy_seconds: float | None
    all_seconds: float | None
    steal_seconds: float | None
    own_seconds: float
    throttle_events: int | None


def read_counters(system: System, own: Iterable[int] = ()) -> Counters:
    """Reads the counters, in less than a millisecond.

    Args:
        system: the machine.
        own: ids of processes that count as ours, in addition to this one. One that has ended counts as 0: its time is
            that of its parent's children then.
    """
    ticks = _cpu_ticks(system)
    # user nice system idle iowait irq softirq steal; the time of guests is in user and nice already
    busy = [sum(cpu[:3]) + sum(cpu[5:7]) for cpu in ticks]
    return Counters(
        at_seconds=time.monotonic(),
        busy_seconds=sum(busy) / _TICKS_PER_SECOND if ticks else None,
        all_seconds=sum(sum(cpu[:8]) for cpu in ticks) / _TICKS_PER_SECOND if ticks else None,
        steal_seconds=sum(cpu[7] for cpu in ticks) / _TICKS_PER_SECOND if ticks else None,
        own_seconds=sum(map(_seconds_with_children, {os.getpid(), *own})),
        throttle_events=_throttle_events(system),
    )


def other_processes(system: System, before: Counters, after: Counters, largest: dict[str, float] | None) -> Check:
    """CPU time on the usable CPUs that other processes have used.

    Args:
        system: the machine.
        before: counters at the beginning of the interval.
        after: counters at its end.
        largest: cores used by single processes, the largest first; None where they were not looked at.
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
    return judge("other processes", found, is_bad, "they compete with the measurement for CPUs: end them, or wait")


def virtual_machine(system: System, before: Counters, after: Counters) -> Check:
    """Whether this is a virtual machine, and the share of CPU time that its host took away."""
    stolen, whole = (
        _grown(before.steal_seconds, after.steal_seconds),
        _grown(before.all_seconds, after.all_seconds),
    )
    share = stolen / whole if stolen is not None and whole else None
    kind = system.virtualisation
    if share is None and kind != "none":
        return judge("virtual machine", None, False, "")
    steal = f", {100 * share:.1f} % of CPU time stolen" if share is not None and kind != "none" else ""
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
        "the processor is too hot for its usual clock: cool it, or turn turbo off",
    )


def load(system: System) -> Check:
    """The load average of the last minute, this process included."""
    words = (system.text("proc/loadavg") or "").split()
    cores = system.core_count
    if not words or cores is None:
        return judge("load average", None, False, "")
    return judge(
        "load average",
        f"{float(words[0]):.2f} in the last minute, for {cores} usable CPUs",
        float(words[0]) > _LOAD_SHARE * cores,
        "the machine is not idle: end what runs, or wait a minute",
    )


def process_seconds() -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process that can be seen, by its id; without this process."""
    seconds = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if times is not None and process.pid != os.getpid():
            seconds[process.pid] = (process.info["name"], times.user + times.system)
    return seconds


def largest_processes(
    before: dict[int, tuple[str, float]], after: dict[int, tuple[str, float]], seconds: float
) -> dict[str, float]:
    """The cores that each process has used over ``seconds``, the largest first, by name and id.

    A process that began in the interval has 0.

    Args:
        before: from :func:`process_seconds`, at the beginning of the interval.
        after: at its end.
        seconds: the length of the interval.
    """
    shares = {
        f"{name} (pid {pid})": (used - before.get(pid, (name, used))[1]) / seconds
        for pid, (name, used) in after.items()
    }
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _grown(before: float | None, after: float | None) -> float | None:
    """By how much a counter has grown; None where it is not kept, and 0 where it was set back."""
    return None if before is None or after is None else max(0, after - before)


def _cpu_ticks(system: System) -> list[list[int]]:
    """The ticks of each usable CPU, of eight kinds; empty where the system does not count them."""
    ticks = []
    for line in (system.text("proc/stat") or "").splitlines():
        name, *values = line.split()
        if not name.startswith("cpu"):
            break  # the CPUs come first
        number = name.removeprefix("cpu")
        if number and (system.cpus is None or int(number) in system.cpus) and len(values) >= 8:
            ticks.append([int(value) for value in values[:8]])
    return ticks if any(map(any, ticks)) else []  # some sandboxes have the file and no counts in it


def _seconds_with_children(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended; 0 if it has ended itself."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _throttle_events(system: System) -> int | None:
    cores = {min(system.siblings(cpu)) for cpu in system.cpus or ()}
    counts = [
        system.number(f"sys/devices/system/cpu/cpu{core}/thermal_throttle/{kind}_throttle_count")
        for core in sorted(cores)
        for kind in ("core", "package")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
