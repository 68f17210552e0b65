"""Checks of settings that do not change while a sweep runs: clocks, cores, threads, limits."""

from collections import Counter

from bench.machine.doctor.check import Check, judge, show_cpus
from bench.machine.system import System

_CPU = "sys/devices/system/cpu"
_THREAD_VARIABLES = ("OMP_", "MKL_", "KMP_", "GOMP_")
_THREAD_COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Variables that make an OpenMP library bind its threads, and the values with which they do not.
_BINDERS = {"OMP_PROC_BIND": ("false",), "GOMP_CPU_AFFINITY": (), "KMP_AFFINITY": ("none", "disabled")}


def governor(system: System) -> Check:
    """Checks the governor, which chooses the processor's frequency."""
    found = Counter(
        policy
        for folder in system.folders(f"{_CPU}/cpufreq", "policy[0-9]*")
        if (policy := system.text(f"{folder}/scaling_governor"))
    )
    text = ", ".join(f"{name} ({count} of {found.total()})" for name, count in found.items())
    return judge(
        "frequency governor",
        text or None,
        set(found) != {"performance"},
        "the clock depends on the load: cpupower frequency-set -g performance",
    )


def turbo(system: System) -> Check:
    """Checks whether the processor raises its clock while it is cool enough."""
    no_turbo, boost = system.number(f"{_CPU}/intel_pstate/no_turbo"), system.number(f"{_CPU}/cpufreq/boost")
    is_on = no_turbo == 0 if no_turbo is not None else boost == 1
    switch = f"echo 1 > /{_CPU}/intel_pstate/no_turbo" if no_turbo is not None else f"echo 0 > /{_CPU}/cpufreq/boost"
    return judge(
        "turbo",
        None if no_turbo is None and boost is None else "on" if is_on else "off",
        is_on,
        f"the clock depends on heat and load: {switch}",
    )


def smt(system: System, cpus: frozenset[int] | None) -> Check:
    """Checks whether two of ``cpus`` (None: those that may be used) share a physical core."""
    cpus = system.cpus if cpus is None else cpus
    active = system.number(f"{_CPU}/smt/active")
    control = system.text(f"{_CPU}/smt/control")
    found, is_shared = None, False
    if active == 0 or control in ("off", "forceoff", "notsupported", "notimplemented"):
        found = "off"
    elif cpus is not None and system.text(f"{_CPU}/cpu{min(cpus)}/topology/thread_siblings_list") is not None:
        cores = {min(system.siblings(cpu)) for cpu in cpus}
        is_shared = len(cores) < len(cpus)
        found = f"{len(cpus)} CPUs on {len(cores)} physical cores"
    return judge("SMT", found, is_shared, "two threads may share a core: run --pin, or turn SMT off")


def threads(system: System, cpus: frozenset[int] | None, count: int | None) -> Check:
    """Compares the number of threads that torch computes with to the number of CPUs.

    Args:
        system: the machine.
        cpus: the CPUs of the cell; None: those that may be used.
        count: torch's own number of threads; None where only environment variables say.
    """
    variables = {name: value for name, value in system.environ.items() if name.startswith(_THREAD_VARIABLES)}
    cores = system.core_count if cpus is None else len(cpus)
    strange = []
    if count is None:
        counts = {name: variables[name].partition(",")[0] for name in _THREAD_COUNTS if name in variables}
        strange = [name for name, value in counts.items() if not (value.isdigit() and int(value))]
        count = max((int(value) for name, value in counts.items() if name not in strange), default=None)
    found = f"{count or 'as many as torch decides, as a rule one a core'}; {cores} usable CPUs"
    settings = ", ".join(f"{name}={value}" for name, value in sorted(variables.items()))
    is_many = count is not None and cores is not None and count > cores
    too_many = f"threads wait for each other: at most {cores}"
    return judge(
        "threads",
        None if cores is None else f"{found}; {settings}" if settings else found,
        is_many or bool(strange),
        f"{' and '.join(strange)}: not a number above 0" if strange else too_many,
    )


def affinity(system: System, cpus: frozenset[int] | None) -> Check:
    """Checks on which CPUs the cells may run, and whether a library binds its threads itself."""
    is_pinned = cpus is not None
    cpus = system.cpus if cpus is None else cpus
    online = system.cpu_list(f"{_CPU}/online")
    binders = [
        f"{name}={system.environ[name]}"
        for name, harmless in _BINDERS.items()
        if name in system.environ and system.environ[name].lower() not in harmless
    ]
    nodes = {system.nodes[cpu] for cpu in cpus or () if cpu in system.nodes}
    found = None
    if cpus is not None:
        found = f"{'pinned to' if is_pinned else 'any of'} CPUs {show_cpus(cpus)}"
        found += f" of {show_cpus(online)} online" if online else ""
        found += f", on {len(nodes)} memory nodes" if len(nodes) > 1 else ""
        found += f"; threads bound by {', '.join(binders)}" if binders else ""
    return judge(
        "CPU affinity",
        found,
        len(nodes) > 1 or bool(binders),
        f"unset {', '.join(binder.partition('=')[0] for binder in binders)}, which overrides --pin"
        if binders
        else "a core is slow to reach the other node's memory: numactl --cpunodebind=0 --membind=0",
    )


def quota(system: System) -> Check:
    """Checks the CPU time that control groups grant."""
    granted, cores = system.cpu_quota(), system.core_count
    if granted is None:
        return judge("CPU quota", None if system.text("proc/self/cgroup") is None else "none", False, "")
    return judge(
        "CPU quota",
        f"{granted:g} CPUs' worth for {cores} usable CPUs",
        cores is not None and granted < cores,
        f"all threads stop when it is used up: raise it, or run --threads {max(1, int(granted))}",
    )
