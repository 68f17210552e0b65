"""What happened between two looks, on a made-up machine and on this one."""

import subprocess
import sys
import time
from dataclasses import replace

import pytest
from fake_machine import CPU, PID, FakeMachine

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


def look(machine: FakeMachine, at_seconds: float, system: System | None = None) -> Counters:
    return replace(read_counters(system or machine.system()), at_seconds=at_seconds)


def others(machine: FakeMachine, before: Counters, seconds: float) -> Check:
    return other_processes(machine.system(), before, look(machine, before.at_seconds + seconds), None)


def test_our_own_time_is_not_somebody_elses(machine: FakeMachine) -> None:
    machine.write(f"proc/{PID}/task/{PID}/children", "200 ")
    machine.process(200, "a (server) here", 10)
    before = look(machine, 0)
    machine.process(PID, "sid-bench", 20, children_ticks=30)
    machine.process(200, "a (server) here", 60, children_ticks=100)  # a cell that has ended
    machine.count(busy={0: 120, 1: 80, 2: 900, 3: 900}, stolen=0)  # CPUs 2 and 3 are not ours to use
    assert others(machine, before, 2) == Check("other processes", "0.00 of 2 usable CPUs taken", "ok", None)


def test_time_that_was_not_ours_warns(machine: FakeMachine) -> None:
    before = look(machine, 0)
    machine.process(PID, "sid-bench", 100)
    machine.count(busy={0: 100, 1: 60}, stolen=0)
    check = others(machine, before, 2)
    assert (check.found, check.verdict) == ("0.30 of 2 usable CPUs taken", "warn")


def test_a_few_ticks_in_a_short_cell_do_not_warn(machine: FakeMachine) -> None:
    before = look(machine, 0)
    machine.count(busy={0: 4}, stolen=0)
    assert others(machine, before, 0.1).verdict == "ok"


@pytest.mark.parametrize("missing", ["proc/stat", f"proc/{PID}/stat", f"proc/{PID}/task"])
def test_without_counters_other_processes_are_unknown(machine: FakeMachine, missing: str) -> None:
    before = look(machine, 0)
    machine.remove(missing)
    assert others(machine, before, 1).verdict == "unknown"


def test_counters_that_stand_at_zero_are_no_counters(machine: FakeMachine) -> None:
    machine.write("proc/stat", "cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0 0 0")
    assert read_counters(machine.system()).busy_seconds is None


def test_the_largest_processes_are_named_and_we_are_not(machine: FakeMachine) -> None:
    machine.process(300, "make -j (8)", 50)
    before, counters = process_seconds(machine.system()), look(machine, 0)
    machine.process(300, "make -j (8)", 90)
    machine.process(301, "new here", 70)  # began in the meantime: how much of this is new is not known
    machine.process(PID, "sid-bench", 500)
    machine.count(busy={0: 540}, stolen=0)
    largest = largest_processes(before, process_seconds(machine.system()), 1.0)
    assert largest == {"make -j (8) (pid 300)": pytest.approx(0.4), "new here (pid 301)": 0}
    check = other_processes(machine.system(), counters, look(machine, 1), largest)
    assert check.found == "0.40 of 2 usable CPUs taken: make -j (8) (pid 300) 0.40"


@pytest.mark.parametrize(
    ("flags", "stolen", "found", "verdict"),
    [
        ("fpu sse2", 0, "no", "ok"),
        ("fpu hypervisor", 0, "QEMU Standard PC, 0.0% of CPU time stolen", "ok"),
        ("fpu hypervisor", 50, "QEMU Standard PC, 5.0% of CPU time stolen", "warn"),
    ],
)
def test_a_host_that_takes_time_away_warns(
    machine: FakeMachine, flags: str, stolen: int, found: str, verdict: str
) -> None:
    machine.write("proc/cpuinfo", f"processor : 0\nflags : {flags}")
    machine.write("sys/class/dmi/id/sys_vendor", "QEMU")
    machine.write("sys/class/dmi/id/product_name", "Standard PC")
    system = machine.system()
    before = look(machine, 0, system)
    machine.count(busy={}, stolen=stolen, all_ticks=2000)
    check = virtual_machine(system, before, look(machine, 10, system))
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
def test_load_is_held_against_the_usable_cpus(machine: FakeMachine, average: str, verdict: str) -> None:
    machine.write("proc/loadavg", f"{average} 0.20 0.30 1/80 4242")
    assert load(machine.system()).verdict == verdict
    machine.remove("proc/loadavg")
    assert load(machine.system()).verdict == "unknown"


def test_a_calm_cell_finds_nothing(machine: FakeMachine) -> None:
    assert CellWatch(machine.system()).findings({"threads": 2, "pinned_cpus": None}) == {}


def test_a_cell_keeps_what_warned_by_its_name(machine: FakeMachine) -> None:
    machine.write(f"{CPU}/intel_pstate/no_turbo", "0")
    machine.write("proc/loadavg", "9.99 9.99 9.99 1/80 4242")  # the cell's own, for all that we know
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
    CellWatch().findings({})  # reads what stays the same
    seconds = []
    for _ in range(9):
        start = time.perf_counter()
        CellWatch().findings({"threads": 1, "pinned_cpus": [0]})
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.005, seconds


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_busy_process_is_seen_as_anothers_and_our_child_as_ours() -> None:
    burn = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(burn) as burner:
        try:
            ours = read_counters(System())
            not_ours = read_counters(System(pid=burner.pid))
            time.sleep(0.6)
            assert read_counters(System()).own_seconds - ours.own_seconds > 0.1  # type: ignore[operator]
            after = read_counters(System(pid=burner.pid))
            assert after.own_seconds - not_ours.own_seconds > 0.1  # type: ignore[operator]
            stranger = subprocess.run([sys.executable, "-c", STRANGER], capture_output=True, text=True, check=True)
        finally:
            burner.kill()
    assert f"(pid {burner.pid})" in stranger.stdout
    assert "warn" in stranger.stdout


STRANGER = """
from bench.machine.doctor import diagnose
from bench.machine.system import System

for check in diagnose(System(), 0.6):
    if check.name == "other processes":
        print(check.verdict, check.found)
"""


def test_every_check_of_a_calm_machine_is_ok(machine: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.machine.doctor.gpu.cuda_uuids", list)
    checks = diagnose(machine.system(), 0.01)
    assert {check.verdict for check in checks} == {"ok"}, checks
    assert len({check.name for check in checks}) == len(checks) == 14
