"""Drift of the machine: BP's own step time by process, which no method under test has a part in.

Ratios to BP are paired within a block, so a slower machine cancels where it slows both legs alike. It does not always:
in a state where two virtual CPUs share a core, the ratio itself is another one. So processes that differ are named.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.median import median_of
from bench.errors import BenchError

# Processes of an idle machine differ by 3 % (standard deviation), and the machine's states by 40 to 90 %.
THRESHOLD = 1.1


class Drift(NamedTuple):
    """A process, or a round of processes, whose step of BP takes another time than usual.

    Attributes:
        group: the name of the group; None for a round, which is the same process of every group.
        process: the number of the process, from 1.
        factor: its time over the usual one.
        sentence: the same as text.
    """

    group: str | None
    process: int
    factor: float
    sentence: str


def find_drift(times: Mapping[str, Sequence[ArrayLike]], threshold: float = THRESHOLD) -> list[Drift]:
    """Return the rounds and processes whose median step time differs from the usual by more than ``threshold``.

    The usual time of a process is the median over the processes of its group. A round is the process of one number in
    every group, which ran one after the other; its factor is the median over groups, and it needs two groups or more.

    Args:
        times: by name of the group, for each process in order, the seconds per step of BP's legs, ``[n]`` or
            ``[blocks, legs]``.
        threshold: a factor above 1; its inverse bounds faster processes.

    Raises:
        BenchError: ``threshold`` is not above 1, a group has no process, or a time is not a finite number above 0.
    """
    if not 1 < threshold < math.inf:
        raise BenchError(f"threshold = {threshold}; legal: a finite number above 1")
    factors = {group: _factors(group, processes) for group, processes in times.items()}
    found = []
    for index in range(max((len(own) for own in factors.values()), default=0)):
        of_round = [own[index] for own in factors.values() if index < len(own)]
        if len(of_round) > 1 and _is_beyond(median_of(of_round), threshold):
            found.append(_drift(None, index + 1, median_of(of_round), len(of_round)))
    for group, own in factors.items():
        found += [
            _drift(group, index + 1, one, len(own)) for index, one in enumerate(own) if _is_beyond(one, threshold)
        ]
    return found


def _factors(group: str, processes: Sequence[ArrayLike]) -> list[float]:
    """Return the median time of each process over the median of these medians."""
    if not processes:
        raise BenchError(f"group {group} has no process; legal: 1 or more")
    medians = []
    for index, process in enumerate(processes, 1):
        seconds = np.asarray(process, dtype=float)
        if not seconds.size or not (np.isfinite(seconds) & (seconds > 0)).all():
            raise BenchError(f"group {group}, process {index}: seconds are legal as one or more finite numbers above 0")
        medians.append(median_of(seconds))
    usual = median_of(medians)
    return [median / usual for median in medians]


def _is_beyond(factor: float, threshold: float) -> bool:
    return factor > threshold or factor < 1 / threshold


def _drift(group: str | None, process: int, factor: float, number: int) -> Drift:
    if group is None:
        what = f"In process {process} of {number} groups, a step of BP took {factor:.2f} times the usual, in the median"
        return Drift(group, process, factor, f"{what} over groups.")
    what = f"{group}: in process {process} of {number}, a step of BP took {factor:.2f} times the median over processes"
    return Drift(group, process, factor, f"{what}.")
