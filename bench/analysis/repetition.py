"""A suite's latency measured again and again: whether the intervals of the ratios to BP agree."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.statistics.consistency import Consistency, Measured, consistency
from bench.config.cell import Cell
from bench.config.check import is_baseline
from bench.errors import BenchError
from bench.store.measurements.latency import Latency
from bench.store.record import Record

# What intervals have to reach: nearly the 95 % that they claim, and not many more pairs than the 5 % of honest ones.
LEAST_COVERAGE = 0.93
MOST_BEYOND = 0.08


@dataclass(frozen=True)
class RepeatedCell:
    """A cell in several runs.

    Attributes:
        cell: the cell.
        ratios: its ratio to BP in each run, None where it has none.
        noisy: in how many runs the ratio was noisy.
        pairs: the number of pairs of runs.
        beyond: the number of pairs that differ.
    """

    cell: Cell
    ratios: tuple[float | None, ...]
    noisy: int
    pairs: int
    beyond: int


@dataclass(frozen=True)
class Repetition:
    """How well repeated runs agree on the ratios of latencies to BP's.

    Attributes:
        runs: the number of runs.
        records: the number of latencies in them.
        noisy: how many of those are noisy.
        failed: the number of records without a latency whose cell has the pass.
        clean: the agreement of the records that are not noisy; None if no cell has two.
        clean_without_bp: the same without BP compared with itself, whose ratio is 1 in any state of the machine.
        every: the agreement of all records.
        cells: each cell that has a latency in two or more runs, the worst first: by the share of pairs that differ,
            then by how far its ratios are apart.
    """

    runs: int
    records: int
    noisy: int
    failed: int
    clean: Consistency | None
    clean_without_bp: Consistency | None
    every: Consistency
    cells: tuple[RepeatedCell, ...]


def repetition(runs: Sequence[Iterable[Record]]) -> Repetition:
    """Return how well ``runs`` agree.

    Args:
        runs: the records of each run, one per cell; those without a latency count as failed if they have the pass.

    Raises:
        BenchError: no cell has a latency in two runs, or an interval is not one.
    """
    timed: list[dict[str, tuple[Cell, Latency]]] = []
    failed = 0
    for run in runs:
        records = [record for record in run if "latency" in record.cell.passes]
        timed.append({record.id: (record.cell, record.latency) for record in records if record.latency is not None})
        failed += len(records) - len(timed[-1])

    def agreement(keep: Callable[[Cell, Latency], bool]) -> Consistency | None:
        kept: list[Mapping[Hashable, Measured]] = [
            {id_: _measured(latency) for id_, (cell, latency) in run.items() if keep(cell, latency)} for run in timed
        ]
        return consistency(kept) if max(Counter(id_ for run in kept for id_ in run).values(), default=0) > 1 else None

    every = agreement(lambda *_: True)
    if every is None:
        raise BenchError(f"no cell has a latency in two of {len(timed)} runs; legal: two or more runs of one suite")
    latencies = [latency for run in timed for _, latency in run.values()]
    return Repetition(
        runs=len(timed),
        records=len(latencies),
        noisy=sum(latency.noisy_because is not None for latency in latencies),
        failed=failed,
        clean=agreement(lambda _, latency: latency.noisy_because is None),
        clean_without_bp=agreement(lambda cell, latency: latency.noisy_because is None and not is_baseline(cell)),
        every=every,
        cells=_cells(timed, dict(every.disagreements)),
    )


def _measured(latency: Latency) -> Measured:
    """Return the logarithm of the ratio to BP. One process has no degrees of freedom over processes."""
    low, high = latency.ratio_ci95
    processes = len(latency.blocks_by_process)
    degrees = processes - 1 if processes > 1 else math.inf
    if not 0 < low <= latency.ratio_to_bp <= high:
        raise BenchError(f"ratio {latency.ratio_to_bp} [{low}, {high}]; legal: numbers above 0 in rising order")
    return Measured(math.log(latency.ratio_to_bp), math.log(low), math.log(high), degrees)


def _cells(
    timed: Sequence[Mapping[str, tuple[Cell, Latency]]], beyond: Mapping[Hashable, int]
) -> tuple[RepeatedCell, ...]:
    cells = {id_: cell for run in timed for id_, (cell, _) in run.items()}
    found = []
    for id_, cell in cells.items():
        latencies = [run[id_][1] if id_ in run else None for run in timed]
        measured = [latency for latency in latencies if latency is not None]
        if len(measured) < 2:
            continue
        found.append(
            RepeatedCell(
                cell=cell,
                ratios=tuple(None if latency is None else latency.ratio_to_bp for latency in latencies),
                noisy=sum(latency.noisy_because is not None for latency in measured),
                pairs=math.comb(len(measured), 2),
                beyond=beyond.get(id_, 0),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.beyond / one.pairs, -_range_of(one.ratios))))


def _range_of(ratios: Sequence[float | None]) -> float:
    """Return the largest of ``ratios`` over the smallest; None are left out."""
    known = [ratio for ratio in ratios if ratio is not None]
    return max(known) / min(known)
