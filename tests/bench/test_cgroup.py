"""Control groups as the kernel shows them on hosts and in containers, in trees of files."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.cgroup import cgroup_folders
from bench.machine.system import System

GIB = 2**30
MEMORY_1 = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
UNIFIED = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"
SLURM = "/system.slice/slurmstepd.scope/job_7/step_0/user/task_0"


def system(root: Path, groups: str, mounts: str, files: dict[str, str]) -> System:
    """A machine whose process is in ``groups``, with ``files`` below ``/sys/fs/cgroup`` unless they begin with one."""
    for path, text in {"/proc/self/cgroup": groups, "/proc/self/mountinfo": mounts, **files}.items():
        file = root / (path[1:] if path.startswith("/") else f"sys/fs/cgroup/{path}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    return System(root, {}, [0])


# Groups of the process, mounts, and the file that counts the kills.
HOSTS = {
    "a container with a root of its own": ("0::/", VERSION_2, "memory.events"),
    "a service of systemd": ("0::/user.slice/task.scope", VERSION_2, "user.slice/task.scope/memory.events"),
    "a task of Slurm": (f"0::{SLURM}", VERSION_2, f"{SLURM[1:]}/memory.events"),
    "a limit of the job around a task": (f"0::{SLURM}", VERSION_2, "system.slice/slurmstepd.scope/job_7/memory.events"),
    "version 1": ("4:memory:/docker/f00\n1:cpu:/", MEMORY_1, "memory/docker/f00/memory.oom_control"),
    "hybrid": ("4:memory:/a/b\n0::/a", f"{MEMORY_1}\n{UNIFIED}", "memory/a/b/memory.oom_control"),
    "version 1 in a container that mounts its own group only": (
        "4:memory:/docker/f00",
        MEMORY_1.replace(" / ", " /docker/f00 "),
        "memory/memory.oom_control",
    ),
    "version 1 in a container whose group has its path outside": (
        "4:memory:/docker/f00",
        MEMORY_1,
        "memory/memory.oom_control",
    ),
    "a mount elsewhere, with a space": (
        "0::/a",
        VERSION_2.replace("/sys/fs/cgroup", "/mnt/c\\040group"),
        "/mnt/c group/a/memory.events",
    ),
    "a group of the mount's group": (
        "0::/docker/f00/sub",
        VERSION_2.replace(" / ", " /docker/f00 "),
        "sub/memory.events",
    ),
    "no list of mounts": ("0::/a/b", "", "a/b/memory.events"),
}


@pytest.mark.parametrize("host", HOSTS)
def test_a_kill_for_want_of_memory_is_counted(tmp_path: Path, host: str) -> None:
    groups, mounts, file = HOSTS[host]
    texts = [
        "oom_kill_disable 0\nunder_oom 0\noom_kill {}",
        "low 0\nhigh 0\nmax 9\noom 3\noom_kill {}\noom_group_kill 5",
    ]
    text = texts["events" in file]
    before = system(tmp_path, groups, mounts, {file: text.format(2), "/proc/vmstat": "oom_kill 90"}).oom_kills()
    after = system(tmp_path, groups, mounts, {file: text.format(3)}).oom_kills()
    assert (before, after) == (2, 3)


def test_kills_of_groups_that_this_process_is_not_in_are_not_counted(tmp_path: Path) -> None:
    counts = {
        f"{group}memory.events": f"oom_kill {kills}"
        for group, kills in {"a/": 1, "a/b/": 2, "a/c/": 50, "d/": 60}.items()
    }
    assert system(tmp_path, "0::/a/b", VERSION_2, counts).oom_kills() == 3


def test_outside_of_any_group_the_count_is_that_of_the_machine(tmp_path: Path) -> None:
    assert system(tmp_path, "0::/", VERSION_2, {"/proc/vmstat": "pgfault 8\noom_kill 4"}).oom_kills() == 4
    assert System(tmp_path / "nothing", {}, [0]).oom_kills() == 0


@pytest.mark.parametrize(
    ("groups", "mounts"),
    [
        ("0::/../sibling", VERSION_2),
        ("0::/sibling", VERSION_2.replace(" / ", " /elsewhere ")),
        ("0::/", VERSION_2.replace(" / ", " /.. ")),
    ],
)
def test_a_group_that_cannot_be_seen_is_not_taken_for_one_of_the_same_name(
    tmp_path: Path, groups: str, mounts: str
) -> None:
    files = {"sibling/memory.events": "oom_kill 7", "memory.events": "oom_kill 1"}
    assert system(tmp_path, groups, mounts, files).oom_kills() == 1


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    files = {}
    for group, limit in {"a": 3 * GIB, "a/b": 2 * GIB, "a/b/c": 5 * GIB}.items():
        files |= {f"{group}/memory.max": str(limit), f"{group}/memory.current": str(GIB)}
    found = system(tmp_path, "0::/a/b/c", VERSION_2, files).cgroup_memory()
    assert found is not None
    assert (found.limit_bytes, found.available_bytes) == (2 * GIB, GIB)


def test_a_quota_is_read_where_two_controllers_share_a_mount(tmp_path: Path) -> None:
    mounts = MEMORY_1.replace("cgroup/memory", "cgroup/cpu,cpuacct").replace("rw,memory", "rw,cpu,cpuacct")
    files = {"cpu,cpuacct/a/cpu.cfs_quota_us": "150000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"}
    assert system(tmp_path, "5:cpu,cpuacct:/a", mounts, files).cpu_quota() == 1.5


@given(st.text(), st.text())
def test_any_text_is_read_without_an_error(groups: str, mounts: str) -> None:
    texts = {"proc/self/cgroup": f"0::/a\n{groups}", "proc/self/mountinfo": f"{mounts}\n{UNIFIED}"}
    assert (2, "sys/fs/cgroup/unified/a") in list(cgroup_folders(texts.get, "memory"))


@pytest.mark.skipif(not Path("/sys/fs/cgroup").is_dir(), reason="control groups are Linux's")
def test_the_groups_of_this_process_are_found_on_this_machine() -> None:
    this = System()
    folders = [
        Path("/", folder) for version, folder in cgroup_folders(this.text, "memory") if version == 2 or version == 1
    ]
    assert folders
    assert any(folder.is_dir() and os.access(folder, os.R_OK) for folder in folders)
