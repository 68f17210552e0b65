"""Clocks, cores, threads, limits and memory: each check can warn, be ok, and be unknown."""

from collections.abc import Callable

import pytest
from fake_machine import CPU, GIB, FakeMachine

from bench.machine.doctor.check import Check, show_cpus
from bench.machine.doctor.memory import memory_checks
from bench.machine.doctor.settings import affinity, governor, quota, smt, threads, turbo
from bench.machine.system import System

Examine = Callable[[System], Check]


def memory_check(name: str) -> Examine:
    return lambda system: next(check for check in memory_checks(system) if check.name == name)


CHECKS: dict[str, Examine] = {
    "frequency governor": governor,
    "turbo": turbo,
    "SMT": lambda system: smt(system, None),
    "threads": lambda system: threads(system, None, None),
    "CPU affinity": lambda system: affinity(system, None),
    "CPU quota": quota,
    **{name: memory_check(name) for name in ("free memory", "memory limit", "swap")},
}
QUIET = {
    "frequency governor": "performance (4 of 4)",
    "turbo": "off",
    "SMT": "2 CPUs on 2 physical cores",
    "threads": "as many as torch decides, as a rule one a core; 2 usable CPUs",
    "CPU affinity": "any of CPUs 0-1 of 0-3 online",
    "CPU quota": "none",
    "free memory": "6.0 GiB of 8.0 GiB",
    "memory limit": "none",
    "swap": "0 MiB of 1.0 GiB in use",
}
# What makes a check warn: its name, a file and its content, and what the check then finds.
WARNINGS = [
    (
        "frequency governor",
        f"{CPU}/cpufreq/policy3/scaling_governor",
        "powersave",
        "performance (3 of 4), powersave (1 of 4)",
    ),
    ("turbo", f"{CPU}/intel_pstate/no_turbo", "0", "on"),
    ("CPU affinity", "sys/devices/system/node/node1/cpulist", "1", "CPUs 0-1 of 0-3 online, on 2 memory nodes"),
    ("CPU quota", "sys/fs/cgroup/user/bench/cpu.max", "150000 100000", "1.5 CPUs' worth for 2 usable CPUs"),
    ("CPU quota", "sys/fs/cgroup/user/cpu.max", "50000 100000", "0.5 CPUs' worth for 2 usable CPUs"),
    ("free memory", "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 524288 kB", "512 MiB of 8.0 GiB"),
    (
        "swap",
        "proc/meminfo",
        "MemTotal: 8388608 kB\nSwapTotal: 2097152 kB\nSwapFree: 1048576 kB",
        "1.0 GiB of 2.0 GiB in use",
    ),
]


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_of_a_quiet_machine_is_ok(machine: FakeMachine, name: str) -> None:
    assert CHECKS[name](machine.system()) == Check(name, QUIET[name], "ok", None)


@pytest.mark.parametrize(("name", "path", "content", "found"), WARNINGS)
def test_each_disturbance_warns_with_advice(
    machine: FakeMachine, name: str, path: str, content: str, found: str
) -> None:
    machine.write(path, content)
    check = CHECKS[name](machine.system())
    assert (check.name, check.verdict) == (name, "warn")
    assert found in check.found
    assert check.advice


@pytest.mark.parametrize("name", CHECKS)
def test_without_its_files_a_check_is_unknown(machine: FakeMachine, name: str) -> None:
    machine.remove("proc")
    machine.remove("sys")
    check = CHECKS[name](machine.system())
    if name in ("threads", "CPU affinity"):  # the process's own settings need no file
        assert check.verdict == "ok"
    else:
        assert check == Check(name, "this machine does not say", "unknown", None)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_survives_nonsense_in_its_files(machine: FakeMachine, name: str) -> None:
    for path in ("proc/meminfo", "proc/self/cgroup", f"{CPU}/online", f"{CPU}/intel_pstate/no_turbo"):
        machine.write(path, ":: what? \udcff".encode(errors="replace").decode())
    for cpu in range(4):
        machine.write(f"{CPU}/cpu{cpu}/topology/thread_siblings_list", "x-y")
    assert CHECKS[name](machine.system()).name == name


def test_boost_is_another_name_for_turbo(machine: FakeMachine) -> None:
    machine.remove(f"{CPU}/intel_pstate")
    machine.write(f"{CPU}/cpufreq/boost", "1")
    check = turbo(machine.system())
    assert (check.found, check.verdict) == ("on", "warn")
    assert "cpufreq/boost" in str(check.advice)
    machine.write(f"{CPU}/cpufreq/boost", "0")
    assert turbo(machine.system()).verdict == "ok"


def test_two_cpus_of_one_core_warn(machine: FakeMachine) -> None:
    check = smt(machine.system(cpus=(0, 2)), None)
    assert (check.found, check.verdict) == ("2 CPUs on 1 physical cores", "warn")
    assert "--pin" in str(check.advice)


def test_smt_that_is_off_is_ok_for_any_cpus(machine: FakeMachine) -> None:
    machine.write(f"{CPU}/smt/active", "0")
    assert smt(machine.system(cpus=range(4)), None).found == "off"


def test_a_pinned_cell_is_judged_by_its_own_cpus(machine: FakeMachine) -> None:
    system = machine.system(cpus=range(4))
    assert smt(system, None).verdict == "warn"
    assert smt(system, frozenset({0, 1})).verdict == "ok"
    assert affinity(system, frozenset({0, 1})).found == "pinned to CPUs 0-1 of 0-3 online"


@pytest.mark.parametrize(
    ("environ", "verdict", "found"),
    [
        ({"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}, "ok", "2; 2 usable CPUs; OMP_NUM_THREADS=2, OMP_WAIT"),
        ({"OMP_NUM_THREADS": "3"}, "warn", "3; 2 usable CPUs; OMP_NUM_THREADS=3"),
        ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "8"}, "warn", "8; 2 usable CPUs"),
        ({"OMP_NUM_THREADS": "2,1"}, "ok", "2; 2 usable CPUs"),
        ({"OMP_NUM_THREADS": "many"}, "warn", "OMP_NUM_THREADS=many"),
        ({"KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}, "ok", "GOMP_SPINCOUNT=0, KMP_BLOCKTIME=0"),
        ({"HOME": "/root"}, "ok", "as many as torch decides, as a rule one a core; 2 usable CPUs"),
    ],
)
def test_threads_come_from_the_environment(
    machine: FakeMachine, environ: dict[str, str], verdict: str, found: str
) -> None:
    check = threads(machine.system(**environ), None, None)
    assert check.verdict == verdict
    assert found in check.found


def test_the_number_of_threads_of_torch_is_used_where_it_is_known(machine: FakeMachine) -> None:
    system = machine.system(OMP_NUM_THREADS="1")
    assert threads(system, None, 3).verdict == "warn"
    assert threads(system, frozenset({0}), 2).found.startswith("2; 1 usable CPUs")
    assert threads(system, frozenset({0}), 1).verdict == "ok"


@pytest.mark.parametrize(
    ("variable", "value", "verdict"),
    [
        ("OMP_PROC_BIND", "true", "warn"),
        ("OMP_PROC_BIND", "FALSE", "ok"),
        ("GOMP_CPU_AFFINITY", "0-1", "warn"),
        ("KMP_AFFINITY", "compact", "warn"),
        ("KMP_AFFINITY", "none", "ok"),
    ],
)
def test_a_library_that_binds_its_threads_is_named(
    machine: FakeMachine, variable: str, value: str, verdict: str
) -> None:
    check = affinity(machine.system(**{variable: value}), None)
    assert check.verdict == verdict
    assert (f"{variable}={value}" in check.found) == (verdict == "warn")


def test_a_quota_that_covers_the_cpus_is_ok(machine: FakeMachine) -> None:
    machine.write("sys/fs/cgroup/cpu.max", "200000 100000")
    assert quota(machine.system()) == Check("CPU quota", "2 CPUs' worth for 2 usable CPUs", "ok", None)
    machine.write("sys/fs/cgroup/cpu.max", "max 100000")
    assert quota(machine.system()).found == "none"


def test_version_1_of_cgroups_is_read_too(machine: FakeMachine) -> None:
    machine.write("proc/self/cgroup", "5:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n0::/")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", str(0x7FFFFFFFFFFFF000))
    machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", str(GIB))
    assert quota(machine.system()).found == "none"
    assert machine.system().cgroup_memory() is None
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", str(2 * GIB))
    machine.write("sys/fs/cgroup/memory/memory.stat", f"cache 7\ntotal_inactive_file {GIB // 2}")
    assert quota(machine.system()).found.startswith("0.25 CPUs' worth")
    assert memory_check("memory limit")(machine.system()).found == "2.0 GiB, 1.5 GiB of it free"


def test_the_limit_with_the_least_available_memory_counts_and_file_pages_are_available(machine: FakeMachine) -> None:
    for folder, limit in (("user/bench", "max"), ("user", str(GIB)), ("", str(4 * GIB))):
        machine.write(f"sys/fs/cgroup/{folder}/memory.max", limit)
        machine.write(f"sys/fs/cgroup/{folder}/memory.current", str(GIB))
    full = memory_check("memory limit")(machine.system())
    assert (full.found, full.verdict) == ("1.0 GiB, 0 MiB of it free", "warn")
    assert machine.system().available_memory_bytes() == 0
    machine.write("sys/fs/cgroup/user/memory.stat", f"anon 1\ninactive_file {GIB // 4}\nactive_file 9")
    assert memory_check("memory limit")(machine.system()).found == "1.0 GiB, 256 MiB of it free"
    assert machine.system().available_memory_bytes() == GIB // 4


def test_cpus_are_formatted_as_linux_does() -> None:
    assert show_cpus(frozenset({8, 0, 1, 2, 5})) == "0-2,5,8"
