"""Checks of what happened in an interval, on a machine in a folder and on this one."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_machine import CPU, FakeMachine

from bench.machine.doctor import CellWatch, diagnose
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
from bench.machine.system import System


def look(machine: FakeMachine, at_seconds: float, own_seconds: float = 0.0, system: System | None = None) -> Counters:
    """The counters of the fake machine, at a given time and after this process has used ``own_seconds``."""
    counters = read_counters(system or machine.system())
    return replace(counters, at_seconds=at_seconds, own_seconds=own_seconds)


def check_others(machine: FakeMachine, before: Counters, seconds: float, own_seconds: float = 0.0) -> Check:
    after = look(machine, before.at_seconds + seconds, before.own_seconds + own_seconds)
    return other_processes(machine.system(), before, after, None)


def test_time_of_this_process_is_not_that_of_others(machine: FakeMachine) -> None:
    before = look(machine, 0, own_seconds=5.0)
    machine.count(busy={0: 120, 1: 80, 2: 900, 3: 900}, stolen=0)  # CPUs 2 and 3 may not be used
    check = check_others(machine, before, seconds=2, own_seconds=2.0)
    assert check == Check("other processes", "0.00 of 2 usable CPUs taken", "ok", None)


def test_time_of_other_processes_warns(machine: FakeMachine) -> None:
    before = look(machine, 0)
    machine.count(busy={0: 100, 1: 60}, stolen=0)
    check = check_others(machine, before, seconds=2, own_seconds=1.0)
    assert (check.found, check.verdict) == ("0.30 of 2 usable CPUs taken", "warn")


def test_a_few_ticks_in_a_short_cell_do_not_warn(machine: FakeMachine) -> None:
    before = look(machine, 0)
    machine.count(busy={0: 4}, stolen=0)
    assert check_others(machine, before, seconds=0.1).verdict == "ok"


def test_without_counters_other_processes_are_unknown(machine: FakeMachine) -> None:
    before = look(machine, 0)
    machine.remove("proc/stat")
    assert check_others(machine, before, seconds=1).verdict == "unknown"


def test_counters_that_are_all_zero_are_no_counters(machine: FakeMachine) -> None:
    machine.write("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0")
    assert read_counters(machine.system()).busy_seconds is None


def test_the_largest_processes_are_named(machine: FakeMachine) -> None:
    before = {300: ("make -j (8)", 0.5), 302: ("idle", 3.0)}
    after = {300: ("make -j (8)", 0.9), 301: ("new here", 0.7), 302: ("idle", 3.0)}
    largest = largest_processes(before, after, 1.0)
    assert list(largest.items()) == [
        ("make -j (8) (pid 300)", pytest.approx(0.4)),
        ("new here (pid 301)", 0),  # it began in the interval
        ("idle (pid 302)", 0),
    ]
    counters = look(machine, 0)
    machine.count(busy={0: 40}, stolen=0)
    check = other_processes(machine.system(), counters, look(machine, 1), largest)
    assert check.found == "0.40 of 2 usable CPUs taken: make -j (8) (pid 300) 0.40"


@pytest.mark.parametrize(
    ("flags", "stolen", "found", "verdict"),
    [
        ("fpu sse2", 0, "no", "ok"),
        ("fpu hypervisor", 0, "QEMU Standard PC, 0.0 % of CPU time stolen", "ok"),
        ("fpu hypervisor", 50, "QEMU Standard PC, 5.0 % of CPU time stolen", "warn"),
    ],
)
def test_stolen_time_warns(machine: FakeMachine, flags: str, stolen: int, found: str, verdict: str) -> None:
    machine.write("proc/cpuinfo", f"processor : 0\nflags : {flags}")
    machine.write("sys/class/dmi/id/sys_vendor", "QEMU")
    machine.write("sys/class/dmi/id/product_name", "Standard PC")
    system = machine.system()
    before = look(machine, 0, system=system)
    machine.count(busy={}, stolen=stolen, all_ticks=2000)
    check = virtual_machine(system, before, look(machine, 10, system=system))
    assert (check.found, check.verdict) == (found, verdict)


def test_a_virtual_machine_that_counts_no_stolen_time_is_unknown(machine: FakeMachine) -> None:
    machine.write("sys/hypervisor/type", "xen")
    machine.remove("proc/stat")
    counters = look(machine, 0)
    assert virtual_machine(machine.system(), counters, counters).verdict == "unknown"
    assert machine.system().virtualisation == "xen"


def test_throttling_in_the_interval_warns_and_throttling_before_it_does_not(machine: FakeMachine) -> None:
    machine.write(f"{CPU}/cpu1/thermal_throttle/core_throttle_count", "7")
    before = look(machine, 0)
    calm = throttling(before, look(machine, 1))
    assert (calm.found, calm.verdict) == ("0 times now, 7 since the machine started", "ok")
    machine.write(f"{CPU}/cpu1/thermal_throttle/core_throttle_count", "9")
    hot = throttling(before, look(machine, 1))
    assert (hot.found, hot.verdict) == ("2 times now, 9 since the machine started", "warn")
    for cpu in range(4):
        machine.remove(f"{CPU}/cpu{cpu}/thermal_throttle")
    assert throttling(before, look(machine, 1)).verdict == "unknown"


@pytest.mark.parametrize(("average", "verdict"), [("0.49", "ok"), ("0.51", "warn")])
def test_load_is_compared_with_the_number_of_usable_cpus(machine: FakeMachine, average: str, verdict: str) -> None:
    machine.write("proc/loadavg", f"{average} 0.20 0.30 1/80 4242")
    assert load(machine.system()).verdict == verdict
    machine.remove("proc/loadavg")
    assert load(machine.system()).verdict == "unknown"


def test_a_watch_on_a_quiet_machine_finds_nothing(machine: FakeMachine) -> None:
    assert CellWatch(machine.system()).findings({"threads": 2, "pinned_cpus": None}) == {}


def test_a_watch_finds_the_checks_that_warn_by_name(machine: FakeMachine) -> None:
    machine.write(f"{CPU}/intel_pstate/no_turbo", "0")
    machine.write("proc/loadavg", "9.99 9.99 9.99 1/80 4242")  # which may be the cell's own
    watch = CellWatch(machine.system(cpus=range(4)))
    machine.write(f"{CPU}/cpu0/thermal_throttle/core_throttle_count", "1")
    assert watch.findings({"threads": 2, "pinned_cpus": [0, 1]}) == {
        "turbo": "on",
        "thermal throttling": "1 times now, 1 since the machine started",
    }
    too_many = watch.findings({"threads": 8, "pinned_cpus": None})
    assert set(too_many) == {"turbo", "thermal throttling", "SMT", "threads"}
    on_ranks = watch.findings({"threads": 3, "ranks": 2, "pinned_cpus": None})
    assert on_ranks["threads"].startswith("6; 4 usable CPUs")


def test_a_watch_takes_less_than_five_milliseconds() -> None:
    CellWatch().findings({})  # reads what is read once per process
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        CellWatch().findings({"threads": 1, "pinned_cpus": [0]})
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.005, seconds


BURN = [sys.executable, "-c", "while True: pass"]


def wait_for_growth(read: Callable[[], float]) -> float:
    """How much a counter of seconds grows until it has grown by 0.2, or in twenty seconds on a busy machine."""
    before, deadline = read(), time.monotonic() + 20
    while (grown := read() - before) < 0.2 and time.monotonic() < deadline:
        time.sleep(0.02)
    return grown


def test_time_of_a_child_counts_as_ours_if_it_is_named_or_has_ended() -> None:
    def own_seconds(*own: int) -> float:
        return read_counters(System(), own).own_seconds

    with subprocess.Popen(BURN) as burner:
        try:
            assert wait_for_growth(lambda: own_seconds(burner.pid)) >= 0.1
            without_it = own_seconds()
        finally:
            burner.kill()
    assert own_seconds() - without_it >= 0.1
    assert own_seconds(burner.pid) == pytest.approx(own_seconds(), abs=0.05), "nothing is counted twice"


def test_a_busy_process_is_listed_by_name_and_this_process_is_not() -> None:
    with subprocess.Popen(BURN) as burner:
        try:
            used = wait_for_growth(lambda: process_seconds().get(burner.pid, ("", 0.0))[1])
            processes = process_seconds()
        finally:
            burner.kill()
    assert used >= 0.1
    assert "python" in processes[burner.pid][0]
    assert os.getpid() not in processes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_busy_process_of_somebody_else_warns() -> None:
    with subprocess.Popen(BURN) as burner:
        try:
            stranger = subprocess.run([sys.executable, "-c", STRANGER], capture_output=True, text=True, check=True)
        finally:
            burner.kill()
    assert stranger.stdout.startswith("warn")


# Another process, of which the burner is no child.
STRANGER = """
from bench.machine.doctor import diagnose
from bench.machine.system import System

for check in diagnose(System(), 0.6):
    if check.name == "other processes":
        print(check.verdict, check.found)
"""


def test_every_check_of_a_quiet_machine_is_ok(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.doctor.gpu.cuda_uuids", list)
    checks = diagnose(machine.system(), 0.01)
    assert {check.verdict for check in checks} == {"ok"}, checks
    assert len({check.name for check in checks}) == len(checks) == 15
