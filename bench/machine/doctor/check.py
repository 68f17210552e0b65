"""One check of the machine."""

from dataclasses import dataclass
from typing import Literal

from bench.machine.system import printable

Verdict = Literal["ok", "warn", "unknown"]


@dataclass(frozen=True)
class Check:
    """One check of the machine and its result.

    Attributes:
        name: what was checked.
        found: the result, as text.
        verdict: whether it disturbs timings.
        advice: what to do about it; None unless the verdict is ``warn``.
    """

    name: str
    found: str
    verdict: Verdict
    advice: str | None


def judge(name: str, found: str | None, is_bad: bool, advice: str) -> Check:
    """Makes a check with its verdict, which is ``unknown`` where ``found`` is None."""
    if found is None:
        return Check(name, "this machine does not say", "unknown", None)
    return Check(name, printable(found), "warn" if is_bad else "ok", advice if is_bad else None)


def show_cpus(cpus: frozenset[int]) -> str:
    """Formats CPU numbers as Linux does: ``0-3,8``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], cpu]
        else:
            parts.append([cpu])
    return ",".join("-".join(map(str, part)) for part in parts)


def show_bytes(size: int) -> str:
    """Formats a size in GiB, or in MiB below one GiB."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
