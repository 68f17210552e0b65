"""A machine in a folder: /proc and /sys with two cores of two CPUs each, on which no check warns."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.machine.system import System

GIB = 2**30

CPU = "sys/devices/system/cpu"
CALM = {
    "proc/loadavg": "0.10 0.20 0.30 1/80 4242",
    "proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu vme sse2",
    "proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 6291456 kB\nSwapTotal: 1048576 kB\nSwapFree: 1048576 kB",
    "proc/self/cgroup": "0::/user/bench",
    f"{CPU}/online": "0-3",
    f"{CPU}/smt/active": "1",
    f"{CPU}/smt/control": "on",
    f"{CPU}/intel_pstate/no_turbo": "1",
    "sys/devices/system/node/node0/cpulist": "0-3",
    **{f"{CPU}/cpufreq/policy{cpu}/scaling_governor": "performance" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/topology/thread_siblings_list": f"{cpu % 2},{cpu % 2 + 2}" for cpu in range(4)},
    **{f"{CPU}/cpu{cpu}/thermal_throttle/core_throttle_count": "0" for cpu in range(4)},
}


class FakeMachine:
    """Files in a folder, and a :class:`System` that reads them. By default CPUs 0 and 1 may be used."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for path, content in CALM.items():
            self.write(path, content)
        self.count(busy={}, stolen=0)

    def write(self, path: str, content: str) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n", encoding="utf-8")

    def remove(self, path: str) -> None:
        target = self._root / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    def count(self, busy: Mapping[int, int], stolen: int, all_ticks: int = 1000) -> None:
        """Writes the kernel's counters, in ticks: for how long each CPU was busy, and what the host stole from each."""
        lines = ["cpu  1 2 3 4 5 6 7 8 9 10"]
        for cpu in range(4):
            used = busy.get(cpu, 0)
            lines.append(f"cpu{cpu} {used} 0 0 {all_ticks - used - stolen} 0 0 0 {stolen} 0 0")
        self.write("proc/stat", "\n".join([*lines, "intr 12345 0 0", "ctxt 99"]))

    def system(self, cpus: Iterable[int] = (0, 1), **environ: str) -> System:
        return System(self._root, environ, cpus)
