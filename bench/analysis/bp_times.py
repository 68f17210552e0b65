"""BP's own step times in the records: processes in which they drifted, and records of one group that disagree on them.

A group holds the records that are compared with one BP: equal cells but for what belongs to the method. Where a process
timed the whole group, its records share BP's times; records that were timed apart have BP's times each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.analysis.median import median_of
from bench.analysis.statistics.drift import Drift, find_drift
from bench.config.axes import axes, bearing_on, unpaired, values_of
from bench.config.file_names import shown
from bench.config.label import words_of
from bench.store.measurements.latency import Latency
from bench.store.record import Record

Seconds = NDArray[np.float64]  # [blocks, 2]: of the two legs of BP in each block

# BP's own time is the same work in all records of a group, so they must agree on it to this factor.
AGREEMENT = 1.05

# Axes that are the cell's own, and yet bear on how BP's legs beside it were timed.
_OF_TIMING = ("latency_seconds", "ranks")


@dataclass(frozen=True)
class Disagreement:
    """Records of one group that were timed apart, in which BP's own step time differs by 5 % or more.

    Attributes:
        group: the name of the group.
        seconds: by method, the median over processes of BP's median step time, in rising order.
    """

    group: str
    seconds: tuple[tuple[str, float], ...]

    @property
    def sentence(self) -> str:
        """The same as text."""
        times = ", ".join(f"{1000 * seconds:.3g} ms with {method}" for method, seconds in self.seconds)
        factor = self.seconds[-1][1] / self.seconds[0][1]
        return f"{self.group}: BP's own step time differs by a factor of {factor:.2f} between records: {times}."


@dataclass(frozen=True)
class TimedBP:
    """BP's own step time in the processes of one group.

    Attributes:
        group: the name of the group.
        processes: in order, the methods beside which BP was timed in a process, and the median of its step, seconds.
        usual_seconds: the median over processes.
        records: of each process, the id of a record that holds its times.
    """

    group: str
    processes: tuple[tuple[str, float], ...]
    usual_seconds: float
    records: tuple[str, ...]

    @property
    def factors(self) -> tuple[float, ...]:
        """The time of each process over the usual one."""
        return tuple(seconds / self.usual_seconds for _, seconds in self.processes)


@dataclass
class _Timed:
    """BP's times by process, the id of a record that holds them, and the methods whose records do so, too."""

    processes: list[Seconds]
    record: str
    methods: list[str] = field(default_factory=list)

    def is_part_of(self, other: "_Timed") -> bool:
        held = {process.tobytes() for process in other.processes}
        return all(process.tobytes() in held for process in self.processes)

    @property
    def name(self) -> str:
        return ", ".join(self.methods)

    @property
    def usual_seconds(self) -> float:
        return median_of([median_of(process) for process in self.processes])


@dataclass(frozen=True)
class TimesOfBP:
    """BP's own step times in some records; those that records share count once."""

    _groups: Mapping[str, Sequence[_Timed]]

    def drift(self) -> list[Drift]:
        """Return the rounds and processes in which BP's own step took another time than usual in its group."""
        return find_drift(
            {
                group if len(apart) == 1 else f"{group}, with {timed.name}": timed.processes
                for group, apart in self._groups.items()
                for timed in apart
            }
        )

    def disagreements(self) -> list[Disagreement]:
        """Return the groups whose records differ in BP's own step time by 5 % or more; records that share it agree."""
        found = []
        for group, apart in self._groups.items():
            seconds = sorted(((timed.name, timed.usual_seconds) for timed in apart), key=lambda item: item[1])
            if seconds[-1][1] >= AGREEMENT * seconds[0][1]:
                found.append(Disagreement(group, tuple(seconds)))
        return found

    def by_process(self) -> list[TimedBP]:
        """Return BP's own step time by group and process."""
        found = []
        for group, apart in self._groups.items():
            processes = tuple((timed.name, median_of(process)) for timed in apart for process in timed.processes)
            usual = median_of([seconds for _, seconds in processes])
            records = tuple(timed.record for timed in apart for _ in timed.processes)
            found.append(TimedBP(group, processes, usual, records))
        return found


def times_of_bp(records: Iterable[Record]) -> TimesOfBP:
    """Return BP's own step times in ``records``."""
    return TimesOfBP(_by_group(records))


def _by_group(records: Iterable[Record]) -> dict[str, list[_Timed]]:
    """Return BP's times of each group; records whose processes are all in another one are listed with that one."""
    found: dict[str, list[_Timed]] = {}
    for record in records:
        processes = _bp_times(record.latency)
        if processes:
            group, method = _names(record)
            found.setdefault(group, []).append(_Timed(processes, record.id, [method]))
    groups: dict[str, list[_Timed]] = {}
    for group, timed in found.items():
        apart: list[_Timed] = []
        for one in sorted(timed, key=lambda one: -len(one.processes)):
            whole = next((other for other in apart if one.is_part_of(other)), None)
            if whole is None:
                apart.append(one)
            else:
                whole.methods += one.methods
        groups[group] = apart
    return groups


def _names(record: Record) -> tuple[str, str]:
    """Return the names of the group and the method of ``record``; names of groups that differ are different."""
    values = values_of(record.cell)
    own = set(unpaired()) - {"passes", *_OF_TIMING}
    of_group = axes().keys() - own - {"passes"}
    always = set(bearing_on(["latency"])) - {"seed", *_OF_TIMING}
    group = words_of(values, of_group, always)
    group += [f"{name} {value}" for name, value in values.items() if name not in axes()]
    method = words_of(values, own, {"method"})
    return shown(" ".join(group)), shown(" ".join(method))


def _bp_times(latency: Latency | None) -> list[Seconds]:
    """Return BP's times of each process, in order; none where a time or a number of blocks is not one."""
    if latency is None:
        return []
    times = np.array(latency.blocks_seconds, dtype=float).reshape(-1, 4)[:, 1:3]
    counts = latency.blocks_by_process
    if min(counts, default=0) < 1 or sum(counts) != len(times) or not (times > 0).all():
        return []
    return np.split(times, np.cumsum(counts)[:-1])
