"""Whether each rule fits: its bytes at the batch that is asked for, and the largest batch within each budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from bench.analysis.measured import CUDA_ROUNDS_TO, Measured, kind_of
from bench.analysis.series import series_names
from bench.config.axes import axes, unpaired, value_of
from bench.config.cell import Cell
from bench.errors import BenchError
from bench.plan.fit.allowance import Allowance, allowance_of
from bench.plan.fit.candidates import Candidates, Refusal
from bench.plan.fit.errors import Experience, PredictionError, StepTime
from bench.plan.grid import lines_of, memory_axes
from bench.plan.pool import ask_all
from bench.plan.rows import Follow
from bench.plan.tasks import Failure, Largest, LinePredictions
from bench.store.measurements.memory import Memory


@dataclass(frozen=True)
class Budget:
    """An amount of memory.

    Attributes:
        text: as it was given, such as ``16GiB``.
        bytes: the same in bytes.
    """

    text: str
    bytes: int


@dataclass(frozen=True)
class Planned:
    """The bytes of one line of cells.

    Attributes:
        memory: at the batch that was asked for, of the rank that needs most.
        head_bytes: those of its persistent bytes that belong to heads and auxiliary modules.
        largest: the largest batch, for each limit.
    """

    memory: Memory
    head_bytes: int
    largest: tuple[Largest, ...]


@dataclass(frozen=True)
class Fit:
    """One rule with its settings.

    Attributes:
        cell: with the batch that was asked for.
        name: the rule and its settings, and what else differs between the rows.
        planned: the bytes.
        needed_bytes: the total at that batch with context and workspaces.
        fits: for each budget, whether that is within it.
        error: how far predictions of the rule were off; None where it was not measured.
        time: its step time relative to BP's; None likewise.
    """

    cell: Cell
    name: str
    planned: Planned
    needed_bytes: int
    fits: tuple[bool, ...]
    error: PredictionError | None
    time: StepTime | None


@dataclass(frozen=True)
class Fits:
    """What fits.

    Attributes:
        network: the network.
        device: whose memory the budgets are.
        budgets: what was asked for.
        rows: one per rule and setting that could be planned.
        refused: the others.
        allowance: what was added to predictions.
    """

    network: str
    device: str
    budgets: tuple[Budget, ...]
    rows: tuple[Fit, ...]
    refused: tuple[Refusal, ...]
    allowance: Allowance

    @property
    def any_fits(self) -> bool:
        """Whether the batch that was asked for fits into one of the budgets under one of the rules."""
        return any(any(row.fits) for row in self.rows)


def find_fits(
    candidates: Candidates,
    budgets: Sequence[Budget],
    measured: Sequence[Measured],
    jobs: int | None,
    follow: Follow,
    data_root: Path | None = None,
) -> Fits:
    """Plan ``candidates``.

    Args:
        candidates: the cells, all of one network.
        budgets: at least one.
        measured: what predictions are compared with; of several of one cell, the first counts.
        jobs: number of processes; None uses one per core.
        follow: wraps the answers to show progress.
        data_root: the directory of data sets from files.

    Raises:
        BenchError: no cell can be planned; the message names the network, and says why.
    """
    kind = kind_of(candidates.device)
    round_to = CUDA_ROUNDS_TO if kind == "cuda" else 1
    cells = candidates.cells
    known = Experience(measured, kind, data_root)
    errors = known.errors(cells, round_to, jobs, follow)
    allowance = allowance_of(kind, measured, errors.values())
    limits = {cell: tuple(allowance.limit(budget.bytes, errors[cell]) for budget in budgets) for cell in cells}
    answers = plan_all(cells, round_to, limits, jobs, follow, data_root)
    network, names = cells[0].network, _names(cells)
    rows, refused = [], list(candidates.refused)
    for cell, answer in answers.items():
        if isinstance(answer, Failure):
            refused.append(Refusal(cell.method, _setting_text(cell), answer.message))
            continue
        needed = allowance.needed(answer.memory.peak_total_bytes, errors[cell])
        fits = tuple(needed <= budget.bytes for budget in budgets)
        rows.append(Fit(cell, names[cell], answer, needed, fits, errors[cell], known.time(cell)))
    if not rows:
        raise BenchError(f"network {network!r} cannot be planned: {_reason(refused[len(candidates.refused) :])}")
    return Fits(network, candidates.device, tuple(budgets), tuple(rows), tuple(refused), allowance)


def plan_all(
    cells: Sequence[Cell],
    round_to: int,
    limits: Mapping[Cell, Sequence[int]],
    jobs: int | None,
    follow: Follow,
    data_root: Path | None = None,
) -> dict[Cell, Planned | Failure]:
    """Run :func:`plan_cell` for each of ``cells``, in processes."""
    task = partial(plan_cell, round_to=round_to, limits=limits, data_root=data_root)
    return dict(zip(cells, follow(ask_all(task, cells, jobs), len(cells)), strict=True))


def plan_cell(
    cell: Cell, round_to: int, limits: Mapping[Cell, Sequence[int]], data_root: Path | None = None
) -> Planned | Failure:
    """Plan one cell and its line; a task of a worker process, which loads torch.

    Args:
        cell: the cell, with the batch that was asked for.
        round_to: storage sizes are rounded up to a multiple of this number of bytes.
        limits: for each cell, the predicted totals up to which the largest batch is searched.
        data_root: the directory of data sets from files.
    """
    try:
        (line,) = lines_of([cell], data_root)
        predictions = LinePredictions(line, round_to, data_root)
        asked = max(predictions.at(cell.batch_size), key=lambda one: one.memory.peak_total_bytes)
        largest = tuple(predictions.largest(limit) for limit in limits[cell])
        return Planned(asked.memory, asked.head_bytes, largest)
    except BenchError as error:
        return Failure(str(error))


def _names(cells: Sequence[Cell]) -> dict[Cell, str]:
    """Return the name of each cell: as a report names the series, and the other axes in which ``cells`` differ."""
    values = [{name: value_of(cell, name) for name in memory_axes()} for cell in cells]
    varied = [
        name
        for name in memory_axes()
        if name not in unpaired() and name != "micro_batches" and len({one[name] for one in values}) > 1
    ]
    names = series_names(pd.DataFrame(values))
    return {
        cell: ", ".join([str(name), *(axes()[axis].words(one[axis]) for axis in varied)])
        for cell, name, one in zip(cells, names, values, strict=True)
    }


def _reason(refused: Sequence[Refusal]) -> str:
    """Return why nothing can be planned: the reason of all, or that of the first rule, with its name."""
    first = refused[0]
    return first.reason if len({one.reason for one in refused}) == 1 else f"{first.what}: {first.reason}"


def _setting_text(cell: Cell) -> str:
    own = [name for name in unpaired() if name in memory_axes() and name != "method"]
    return " ".join(f"{name}={value_of(cell, name)}" for name in own if value_of(cell, name) != axes()[name].default)
