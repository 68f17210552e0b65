"""Which CPUs a cell is bound to."""

from collections import Counter, defaultdict

from bench.errors import BenchError
from bench.machine.system import System


def choose_cpus(system: System, threads: int | None, first: int = 0) -> list[int]:
    """Chooses the CPUs for a cell of ``threads`` threads; returns them in ascending order.

    Each thread gets a physical core of its own while there are any, all on one memory node if one has enough. The core
    of CPU 0, on which most systems handle their interrupts, comes last.

    Args:
        system: the machine, and its CPUs that may be used.
        threads: how many CPUs to choose, at most all; None for as many as there are physical cores.
        first: how many CPUs are passed over, because other cells that run at the same time are bound to them.

    Raises:
        BenchError: the system cannot bind a process to CPUs.
    """
    if system.cpus is None:
        raise BenchError("--pin: this system cannot bind a process to CPUs (it has no sched_setaffinity); leave it out")
    cores = defaultdict(list)
    for cpu in sorted(system.cpus):
        cores[min(system.siblings(cpu))].append(cpu)
    room = Counter(system.nodes.get(core, 0) for core in cores if 0 not in cores[core])

    def rank(core: int) -> tuple[bool, int, int, int]:
        node = system.nodes.get(core, 0)
        return (0 in cores[core], -room[node], node, core)

    ordered = [cores[core] for core in sorted(cores, key=rank)]
    most = max(map(len, ordered))
    turns = [core[turn] for turn in range(most) for core in ordered if turn < len(core)]
    return sorted(turns[first : first + (len(cores) if threads is None else threads)])
