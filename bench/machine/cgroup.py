"""The control groups of this process: where the kernel shows them, whether of version 1 or 2 or both."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class _Mount:
    """A mounted hierarchy of control groups.

    Attributes:
        version: 1 or 2.
        controllers: those of a hierarchy of version 1; a hierarchy of version 2 does not name its own.
        root: the group at the mount point, as ``/proc/self/cgroup`` names groups.
        point: where it is mounted.
    """

    version: int
    controllers: frozenset[str]
    root: str
    point: str


def cgroup_folders(read: Callable[[str], str | None], controller: str) -> Iterator[tuple[int, str]]:
    """Finds this process's group for ``controller``, then each group around it, as far out as it can be seen.

    Args:
        read: the content of a file by its path without the leading slash, None where it cannot be read.
        controller: such as ``memory``.

    Yields:
        The version of control groups and a folder, without the leading slash. A folder need not exist: in a container
        a process may be told the path that its group has outside.
    """
    mounts = list(_mounts(read("proc/self/mountinfo") or "")) or _usual_mounts(controller)
    for line in (read("proc/self/cgroup") or "").splitlines():
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        for mount in mounts:
            if mount.version == version and (version == 2 or controller in mount.controllers):
                for folder in _outwards(mount, group):
                    yield version, folder


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """The hierarchies in ``/proc/self/mountinfo``, whose lines end with ``- TYPE SOURCE OPTIONS``."""
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        fields, (type_, *rest) = place.split(), kind.split() or [""]
        if len(fields) < 5 or type_ not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset(rest[-1].split(",")) if rest else frozenset()
        root, point = (_OCTAL.sub(lambda code: chr(int(code[1], 8)), field) for field in fields[3:5])
        yield _Mount(2 if type_ == "cgroup2" else 1, controllers, root, point.strip("/"))


def _usual_mounts(controller: str) -> list[_Mount]:
    """Where hierarchies are mounted as a rule."""
    return [
        _Mount(2, frozenset(), "/", "sys/fs/cgroup"),
        _Mount(1, frozenset({controller}), "/", f"sys/fs/cgroup/{controller}"),
    ]


def _outwards(mount: _Mount, group: str) -> Iterator[str]:
    """The folders of ``group`` and of each group around it up to the mount point.

    The root of a mount is another group than ``/`` where a container sees only a part of the hierarchy. The path of a
    group outside of what can be seen begins with ``/..``, or has another root: then the mount point is all there is.
    """
    root, parts = _parts(mount.root), _parts(group)
    inside = parts[len(root) :] if parts[: len(root)] == root else []
    for length in range(0 if ".." in inside else len(inside), -1, -1):
        yield "/".join([mount.point, *inside[:length]])


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]
