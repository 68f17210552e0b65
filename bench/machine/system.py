"""The machine as Linux describes it in /proc and /sys; a value is None where its file is missing.

psutil knows neither control groups, hypervisors, physical cores by CPU nor memory nodes. What it does know, memory and
load, is read here as well, so that a test can put a whole machine into a folder.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from bench.machine.cgroup import cgroup_folders

# Version 1 of cgroups writes "no limit" as the largest number of pages, far above any memory.
_NO_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True)
class CgroupMemory:
    """A memory limit of a control group, and how much of it is available, both in bytes."""

    limit_bytes: int
    available_bytes: int


class System:
    """A machine. Values that cannot change while a sweep runs are read once.

    Args:
        root: the folder that holds ``proc`` and ``sys``.
        environ: environment variables; None for those of this process.
        cpus: the CPUs that may be used; None for those that this process is bound to.

    Attributes:
        environ: the environment variables.
        cpus: the CPUs that may be used; None where the system does not say.
    """

    def __init__(
        self,
        root: Path = Path("/"),
        environ: Mapping[str, str] | None = None,
        cpus: Iterable[int] | None = None,
    ) -> None:
        self._root = root
        self.environ = os.environ if environ is None else environ
        self.cpus = _bound_to() if cpus is None else frozenset(cpus)
        self._siblings: dict[int, frozenset[int]] = {}

    def text(self, path: str) -> str | None:
        """The content of a file without surrounding white space; None where it cannot be read."""
        try:
            with open(self._root / path, "rb") as file:  # noqa: PTH123 (half the time of read_text)
                return file.read().decode(errors="replace").strip()
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The integer in a file; None where it cannot be read or holds something else."""
        return _integer(self.text(path))

    def folders(self, path: str, pattern: str) -> list[str]:
        """The entries of a folder whose names match, as paths for :meth:`text`, sorted."""
        return sorted(f"{path}/{entry.name}" for entry in (self._root / path).glob(pattern))

    def cpu_list(self, path: str) -> frozenset[int] | None:
        """The CPUs in a file that lists them as ``0-3,8``; None where it cannot be read."""
        text = self.text(path)
        try:
            return None if text is None else frozenset(_expand(text))
        except ValueError:
            return None

    @property
    def core_count(self) -> int | None:
        """The number of CPUs that may be used."""
        return os.cpu_count() if self.cpus is None else len(self.cpus)

    def siblings(self, cpu: int) -> frozenset[int]:
        """The CPUs of the physical core of ``cpu``, itself included; only itself where the machine does not say."""
        if cpu not in self._siblings:
            listed = self.cpu_list(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
            self._siblings[cpu] = (listed or frozenset()) | {cpu}
        return self._siblings[cpu]

    @cached_property
    def nodes(self) -> dict[int, int]:
        """The memory node of each CPU; empty where the machine does not say."""
        return {
            cpu: int(folder.rpartition("node")[2])
            for folder in self.folders("sys/devices/system/node", "node[0-9]*")
            for cpu in self.cpu_list(f"{folder}/cpulist") or ()
        }

    @cached_property
    def virtualisation(self) -> str | None:
        """The name of the hypervisor or the virtual machine; ``none`` on bare metal, None where it is not known."""
        named = self.text("sys/hypervisor/type") or self.text("proc/device-tree/hypervisor/compatible")
        if named:
            return named.replace("\0", " ").strip()
        lines = (self.text("proc/cpuinfo") or "").splitlines()
        flags = next((line for line in lines if line.startswith("flags")), None)
        if flags is None:
            return None  # only x86 has a flag for it
        if "hypervisor" not in flags.split():
            return "none"
        names = [self.text(f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")]
        return " ".join(name for name in names if name) or "a hypervisor without a name"

    def memory(self) -> dict[str, int]:
        """The sizes in ``/proc/meminfo`` in bytes, by name; empty where there is no such file."""
        sizes = {}
        for line in (self.text("proc/meminfo") or "").splitlines():
            name, _, value = line.partition(":")
            number, _, unit = value.strip().partition(" ")
            if unit == "kB" and number.isdigit():
                sizes[name] = int(number) * 1024
        return sizes

    def cpu_quota(self) -> float | None:
        """The CPU time that the control groups of this process grant, in CPUs; None where none sets a limit."""
        quotas = []
        for version, folder in cgroup_folders(self.text, "cpu"):
            if version == 2:
                quota, _, period = (self.text(f"{folder}/cpu.max") or "").partition(" ")
            else:
                quota, period = (self.text(f"{folder}/cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
            if quota.isdigit() and period.isdigit() and int(period):
                quotas.append(int(quota) / int(period))
        return min(quotas, default=None)

    def cgroup_memory(self) -> CgroupMemory | None:
        """The memory limit of the control group with the least available memory; None where none sets a limit.

        File pages that were not used lately count as available, because the kernel drops them before memory runs out.
        """
        limits = []
        for version, folder in cgroup_folders(self.text, "memory"):
            names = ("max", "current") if version == 2 else ("limit_in_bytes", "usage_in_bytes")
            limit, used = (self.number(f"{folder}/memory.{name}") for name in names)
            if limit is None or used is None or limit >= _NO_LIMIT_BYTES:
                continue
            droppable = "inactive_file" if version == 2 else "total_inactive_file"
            cached = sum(_values_of(droppable, self.text(f"{folder}/memory.stat")))
            limits.append(CgroupMemory(limit, min(limit, max(0, limit - used + cached))))
        return min(limits, key=lambda memory: memory.available_bytes, default=None)

    def available_memory_bytes(self) -> int | None:
        """The memory that can still be allocated, on the machine and in the control groups; None where neither says."""
        in_cgroup = self.cgroup_memory()
        known = [self.memory().get("MemAvailable"), in_cgroup.available_bytes if in_cgroup else None]
        return min((value for value in known if value is not None), default=None)

    def oom_kills(self) -> int:
        """How many processes the kernel has killed because memory ran out, as far as it tells; it only ever grows.

        The control groups of this process and those around it count their own. Where none does, as outside of any
        group, the count is that of the whole machine.
        """
        counts = []
        for version, folder in cgroup_folders(self.text, "memory"):
            text = self.text(f"{folder}/memory.{'events' if version == 2 else 'oom_control'}")
            counts += _values_of("oom_kill", text)
        return sum(counts or _values_of("oom_kill", self.text("proc/vmstat")))


@cache
def this_system() -> System:
    """The machine that this process runs on."""
    return System()


def printable(text: str) -> str:
    """``text`` with bytes that were not UTF-8 as escapes, so that JSON and terminals take it."""
    return text.encode(errors="backslashreplace").decode()


def _bound_to() -> frozenset[int] | None:
    return frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _values_of(name: str, text: str | None) -> list[int]:
    """The numbers in lines ``NAME NUMBER`` of ``text``."""
    words = (line.split() for line in (text or "").splitlines())
    return [int(found[1]) for found in words if len(found) == 2 and found[0] == name and found[1].isdigit()]


def _expand(text: str) -> Iterator[int]:
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
