"""How far predictions of the same rule were off where it was measured, and how long its step took beside BP's."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.analysis.measured import Kind, Measured
from bench.config.axes import axes, unpaired
from bench.config.cell import Cell
from bench.config.check import make_cell
from bench.config.methods import load_method
from bench.config.networks import describe, load_network
from bench.errors import ConfigError
from bench.plan.grid import at_batch, memory_axes, shape_of
from bench.plan.pool import ask_all
from bench.plan.rows import Follow
from bench.plan.tasks import Failure, predict
from bench.store.measurements.memory import Memory

_MOST_CELLS = 8  # of a rule that are predicted again
_OF_DATA = {"dataset", "image_size", "channels", "classes"}


@dataclass(frozen=True)
class PredictionError:
    """How far the predictions of a rule were off on the nearest configuration that was measured.

    Attributes:
        share: what was measured divided by the prediction, minus 1; of several cells, that of the largest magnitude.
        allocator_share: the same of what the allocator handed out, workspaces inside operators included, the largest
            of all cells; None where it did not count.
        cells: how many cells were predicted and compared.
        network: theirs.
        settings: the settings of the rule there in which it differs from what is planned.
        machine: where they were measured.
    """

    share: float
    allocator_share: float | None
    cells: int
    network: str
    settings: str
    machine: str | None


@dataclass(frozen=True)
class StepTime:
    """The time of a step divided by BP's.

    Attributes:
        ratio: the value.
        ci95: its interval.
        batch_size: where it was measured.
        processes: over how many processes.
        is_noisy: whether it cannot be relied on.
        machine: where it was measured.
    """

    ratio: float
    ci95: tuple[float, float]
    batch_size: int
    processes: int
    is_noisy: bool
    machine: str | None


@dataclass(frozen=True)
class _Comparable:
    """A measurement, and its cell with synthetic images of the same shape, as it is planned."""

    measured: Measured
    cell: Cell


class Experience:
    """What was measured on one kind of device, to compare with.

    Args:
        measured: the measurements; of several of one cell, the first counts.
        kind: the kind of device; others are left out.
        data_root: the directory of data sets from files.
    """

    def __init__(self, measured: Iterable[Measured], kind: Kind, data_root: Path | None = None) -> None:
        self._data_root = data_root
        known: dict[tuple[Cell, bool, bool], _Comparable] = {}
        for one in measured:
            cell = _planned(one.cell, one.shape, one.classes) if one.kind == kind else None
            if cell is not None:
                key = (cell, one.total_bytes is not None, one.ratio is not None)
                known.setdefault(key, _Comparable(one, cell))
        self._known = list(known.values())

    def errors(
        self, cells: Sequence[Cell], round_to: int, jobs: int | None, follow: Follow
    ) -> dict[Cell, PredictionError | None]:
        """Return how far the predictions were off for each of ``cells``; None where its rule was not measured.

        Args:
            cells: what is planned.
            round_to: storage sizes are rounded up to a multiple of this number of bytes.
            jobs: number of processes; None uses one per core.
            follow: wraps the answers to show progress.
        """
        nearest = {cell: self._nearest(cell) for cell in cells}
        asked = list(dict.fromkeys(one.cell for group in nearest.values() for one in group))
        task = partial(predict, round_to=round_to, data_root=self._data_root)
        answers = dict(zip(asked, follow(ask_all(task, asked, jobs), len(asked)), strict=True))
        return {cell: _error(cell, group, answers) for cell, group in nearest.items()}

    def time(self, cell: Cell) -> StepTime | None:
        """Return the relative time of the rule of ``cell`` on the same network and sizes, at the nearest batch.

        Of equally near ones, the first that is not noisy counts.
        """
        own = _planned(cell, *shape_of(cell, self._data_root)) or cell
        same = [one for one in self._known if one.measured.ratio is not None and _but_for_batch(own, one.cell)]
        same.sort(key=lambda one: (_batches_apart(cell, one.cell), one.measured.is_noisy))
        return next(map(_time, same), None)

    def _nearest(self, cell: Cell) -> list[_Comparable]:
        """Return the measurements of the rule of ``cell`` whose configurations differ least from it."""
        shape, classes = shape_of(cell, self._data_root)
        own = _planned(cell, shape, classes) or cell
        same_rule = [
            one for one in self._known if one.cell.method == cell.method and one.measured.total_bytes is not None
        ]
        distances = [_distance(own, shape, classes, one) for one in same_rule]
        least = min(distances, default=())
        group = [one for one, distance in zip(same_rule, distances, strict=True) if distance == least]
        return sorted(group, key=lambda one: _batches_apart(cell, one.cell))[:_MOST_CELLS]


def _planned(cell: Cell, shape: tuple[int, int, int], classes: int) -> Cell | None:
    """Return ``cell`` as it is planned, with synthetic images of ``shape``; None if it cannot be built here."""
    channels, height, width = shape
    if height != width:
        return None
    data = {"dataset": "random", "image_size": height, "channels": channels, "classes": classes}
    try:
        # Older records name what is now an alias, and say nothing of the axes that it presets.
        method = load_method(cell.method)
        presets = method.presets if method.alias_of is not None else ()
        unset = {name: None for name in presets if getattr(cell, name, None) == axes()[name].default}
        legal = make_cell(cell.model_dump() | unset | {"passes": ["memory"]} | data)
    except ConfigError:  # such as a network that is not installed
        return None
    return at_batch(legal, cell.batch_size)


def _distance(cell: Cell, shape: tuple[int, int, int], classes: int, other: _Comparable) -> tuple[int, ...]:
    """Return in how much two cells of one method differ, what matters most first; the batch size is left out."""
    settings = _settings()
    others = [name for name in memory_axes() if name not in {*settings, *_OF_DATA, "method", "network", "batch_size"}]
    return (
        _differing(cell, other.cell, settings),
        _networks_apart(cell, shape, classes, other),
        int(shape != other.measured.shape),
        _differing(cell, other.cell, others),
    )


def _settings() -> list[str]:
    """Return the axes of a rule's own settings."""
    return [name for name in memory_axes() if name in unpaired() and name != "method"]


def _differing(cell: Cell, other: Cell, names: Iterable[str]) -> int:
    return sum(getattr(cell, name, None) != getattr(other, name, None) for name in names)


def _networks_apart(cell: Cell, shape: tuple[int, int, int], classes: int, other: _Comparable) -> int:
    """Return 0 for one network, 1 for networks of one layout, else 2."""
    if cell.network == other.cell.network:
        return 0
    own = describe(load_network(cell.network), shape, classes)
    its = describe(load_network(other.cell.network), other.measured.shape, other.measured.classes)
    return 1 if own.layout == its.layout else 2


def _but_for_batch(cell: Cell, other: Cell) -> bool:
    """Whether two planned cells differ in nothing but the batch size."""
    return cell.model_copy(update={"batch_size": other.batch_size}) == other


def _batches_apart(cell: Cell, other: Cell) -> float:
    return abs(math.log(cell.batch_size / other.batch_size))


def _error(
    cell: Cell, group: Sequence[_Comparable], answers: Mapping[Cell, tuple[Memory, ...] | Failure]
) -> PredictionError | None:
    compared = list(_shares(group, answers))
    if not compared:
        return None
    beside = [share for _, share, _ in compared if share is not None]
    _, _, first = compared[0]
    settings = [_setting_text(first.cell, name) for name in _settings() if _differing(cell, first.cell, [name])]
    return PredictionError(
        share=max((share for share, _, _ in compared), key=abs),
        allocator_share=max(beside, default=None),
        cells=len(compared),
        network=first.cell.network,
        settings=", ".join(settings),
        machine=first.measured.machine,
    )


def _setting_text(cell: Cell, name: str) -> str:
    value = getattr(cell, name)
    return f"without {name.replace('_', '-')}" if value == axes()[name].default else axes()[name].words(value)


def _shares(
    group: Sequence[_Comparable], answers: Mapping[Cell, tuple[Memory, ...] | Failure]
) -> Iterator[tuple[float, float | None, _Comparable]]:
    for one in group:
        planned, measured = answers[one.cell], one.measured
        if not isinstance(planned, Failure) and measured.total_bytes is not None:
            total, by_allocator = max(rank.peak_total_bytes for rank in planned), measured.allocator_bytes
            yield measured.total_bytes / total - 1, None if by_allocator is None else by_allocator / total - 1, one


def _time(one: _Comparable) -> StepTime:
    measured = one.measured
    ratio = 1.0 if measured.ratio is None else measured.ratio
    return StepTime(
        ratio,
        measured.ratio_ci95 or (ratio, ratio),
        one.cell.batch_size,
        measured.processes,
        measured.is_noisy,
        measured.machine,
    )
