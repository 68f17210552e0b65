"""The leaderboards: of each network, the cells that represent it, with what every method costs and gives on them."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from bench.analysis.differences import EPOCHS, SHARES, Difference, Epoch, compared_with_bp, judged_together
from bench.analysis.headline import SummaryCell, noise_names, summary_cells
from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.numbers import exponential
from bench.analysis.other_heads import time_over, with_other_heads
from bench.analysis.statistics.comparison import Comparison

# Columns with lists and objects that no board shows.
_NOT_SHOWN = ["memory.timeline", "accuracy.by_epoch", "accuracy.kl_by_module", "trace", "rank_results"]


@dataclass(frozen=True)
class Setting:
    """Where an accuracy was measured: the rate of label noise in training, and the epoch.

    ``noise`` is what the noise is called; see :func:`bench.analysis.headline.noise_names`.
    """

    rate: float
    epoch: Epoch
    noise: str = field(default="", compare=False)


@dataclass(frozen=True)
class StepTime:
    """The step time of a method over BP's, from interleaved blocks.

    Attributes:
        ratio: the estimate.
        low: the lower end of its 95 % interval.
        high: the upper end.
        processes: the number of processes that it rests on; with one, the interval leaves out how processes differ.
        noisy_because: why it cannot be relied on, or None.
        is_across: it and BP were timed in different processes, which took turns.
    """

    ratio: float
    low: float
    high: float
    processes: int
    noisy_because: str | None
    is_across: bool = False


@dataclass(frozen=True)
class TestAccuracy:
    """The test accuracy of a method in one setting.

    Attributes:
        share: the mean over seeds, a fraction; None if it is missing for a seed.
        seeds: the number of seeds.
        difference: from BP; None for BP itself.
        record: the id of its first record.
    """

    share: float | None
    seeds: int
    difference: Difference | None
    record: str


@dataclass(frozen=True)
class BoardRow:
    """One method on the cell of a board; what was not measured is None.

    Attributes:
        name: of its series.
        method: the training rule.
        is_baseline: whether it is BP, which the others are compared with.
        modules: their number, where it is not the board's: of plain BP, which trains the network as one module.
        instrument: of memory: ``exact``, or ``allocator`` for a step that is compiled.
        activation_bytes: at the peak of a step.
        activation_ratio: these over BP's.
        total_bytes: likewise with parameters, gradients, optimizer state and inputs.
        total_ratio: these over BP's.
        time: of a step over BP's.
        accuracies: by setting.
        record: the id of a record of it: that of its costs, or of its first accuracy.
        training: how it is trained, where that is not as on the board: as its authors do.
        has_other_heads: the stages have not the heads of the board.
    """

    name: str
    method: str
    is_baseline: bool
    modules: int | None
    instrument: str | None
    activation_bytes: float | None
    activation_ratio: float | None
    total_bytes: float | None
    total_ratio: float | None
    time: StepTime | None
    accuracies: dict[Setting, TestAccuracy]
    record: str
    training: str | None = None
    has_other_heads: bool = False

    @property
    def title(self) -> str:
        """The name, with what differs from the board."""
        modules = None if self.modules is None else f"{self.modules} module{'s' if self.modules > 1 else ''}"
        return ", ".join(filter(None, [self.name, modules, self.training]))


@dataclass(frozen=True)
class Board:
    """All methods on one cell.

    Attributes:
        network: its name.
        layout: ``cascade``, ``pipeline`` or ``unknown``.
        cell: the axes of the cell, as text.
        settings: those in which an accuracy was measured.
        rows: one per method, those with the fewest activation bytes first.
    """

    network: str
    layout: str
    cell: str
    settings: list[Setting]
    rows: list[BoardRow]


def boards(frame: pd.DataFrame) -> list[Board]:
    """Return the boards of all networks, in order of their names.

    :func:`bench.analysis.headline.summary_cells` says which cells represent a network. Plain BP, which trains the same
    network as one module, has a row on the board of that network with all modules, not a board of its own; so have
    methods with other heads, or trained as their authors do (:mod:`bench.analysis.other_heads`). All differences of
    accuracies are judged as one family.
    """
    frame = frame.drop(columns=_NOT_SHOWN, errors="ignore").copy()  # in few blocks, which makes selecting rows fast
    cells = [
        (cell, list(with_other_heads(part, cell)))
        for _, part in frame.groupby("network", sort=True)
        for cell in summary_cells(part)
    ]
    rates = noise_names(cell for cell, _ in cells)
    compared = [
        (_Compared(cell, rates), [(_Compared(one, rates), training) for one, training in others])
        for cell, others in cells
    ]
    every = [each for part, others in compared for each in (part, *(other for other, _ in others))]
    differences = iter(judged_together([one for each in every for one in each.comparisons]))
    found: list[Board] = []
    previous: SummaryCell | None = None
    for part, others in compared:
        rows = list(part.rows(differences))
        added = [
            (other.cell, replace(row, training=training))
            for other, training in others
            for row in other.rows(differences)
        ]
        if previous is not None and _is_plain_bp_of(part.cell, previous):
            found[-1] = _with_plain_bp(found[-1], rows, part.cell)
            continue
        previous = part.cell
        first = part.cell.first
        board = Board(str(first["network"]), str(first["layout"]), part.cell.text, [], _ranked(rows))
        found.append(_with_other_heads(board, added, part.cell))
    return [replace(board, settings=_settings_of(board, rates)) for board in found]


class _Compared:
    """A cell with the comparisons of its accuracies, which wait for their verdicts."""

    def __init__(self, cell: SummaryCell, rates: Mapping[float, str]) -> None:
        self.cell = cell
        self._series = cell.series
        self._accuracies = cell.accuracies_of_one_kind
        self._found = {
            (series, Setting(rate, epoch, noise)): own
            for series in self._series
            for rate, noise in rates.items()
            for epoch, own in self._rows_of(series, rate).items()
        }
        self._comparisons = {key: self._comparison(own, key[1]) for key, own in self._found.items()}

    @property
    def comparisons(self) -> list[Comparison]:
        """Those with BP, in order; BP itself has none."""
        return [comparison for comparison in self._comparisons.values() if comparison is not None]

    def rows(self, differences: Iterator[Difference]) -> Iterator[BoardRow]:
        """Yield the rows, which take the next of ``differences`` for each of :attr:`comparisons`."""
        for series in self._series:
            accuracies = {
                setting: TestAccuracy(
                    share=None if own[SHARES[setting.epoch]].isna().any() else float(own[SHARES[setting.epoch]].mean()),
                    seeds=int(own["seed"].nunique()),
                    difference=next(differences) if self._comparisons[name, setting] is not None else None,
                    record=str(own.iloc[0]["id"]),
                )
                for (name, setting), own in self._found.items()
                if name == series
            }
            yield _row(self.cell, series, accuracies)

    def _rows_of(self, series: str, rate: float) -> dict[Epoch, pd.DataFrame]:
        """Return the rows for each epoch at which one of them has an accuracy."""
        rows = self._accuracies
        own = rows[(rows["noise_rate"] == rate) & (rows["series"] == series)]
        return {epoch: own for epoch in EPOCHS if own[SHARES[epoch]].notna().any()}

    def _comparison(self, own: pd.DataFrame, setting: Setting) -> Comparison | None:
        baseline = self.cell.baseline
        baseline = baseline[(baseline["noise_rate"] == setting.rate) & baseline["noise_kind"].isin(own["noise_kind"])]
        is_itself = own["is_baseline"].all() and own["group"].isin(baseline["group"]).all()
        return None if is_itself else compared_with_bp(own, baseline, setting.epoch)


def _row(cell: SummaryCell, series: str, accuracies: dict[Setting, TestAccuracy]) -> BoardRow:
    costs = cell.costs[cell.costs["series"] == series]
    memory, latency = costs[costs["has_memory"]], costs[costs["has_latency"]]
    accuracies_of = cell.accuracies[cell.accuracies["series"] == series]
    first = next(rows for rows in (memory, latency, costs, accuracies_of) if not rows.empty).iloc[0]
    bytes_ = {} if memory.empty else memory.iloc[0].filter(like="memory.").to_dict()
    return BoardRow(
        name=series,
        method=str(first["method"]),
        is_baseline=bool(first["is_baseline"]),
        modules=None,
        instrument=bytes_.get("memory.instrument"),
        activation_bytes=_number(bytes_.get("memory.peak_activation_bytes")),
        activation_ratio=_number(bytes_.get("memory.activation_ratio")),
        total_bytes=_number(bytes_.get("memory.peak_total_bytes")),
        total_ratio=_number(bytes_.get("memory.total_ratio")),
        time=None if latency.empty else _time(latency.iloc[0]),
        accuracies=accuracies,
        record=str(first["id"]),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _time(row: pd.Series) -> StepTime:
    low, high = row["latency.ratio_ci95"]
    because = row["latency.noisy_because"]
    return StepTime(
        ratio=float(row["latency.ratio_to_bp"]),
        low=float(low),
        high=float(high),
        processes=len(row["latency.blocks_by_process"]),
        noisy_because=None if pd.isna(because) else str(because),
    )


def _is_plain_bp_of(cell: SummaryCell, other: SummaryCell) -> bool:
    """Return whether ``cell`` is the network of ``other`` as one module, trained by BP with the same settings."""
    first, usual = cell.first, other.first
    return bool(
        pd.concat([cell.costs, cell.accuracies])["is_baseline"].all()
        and first["modules"] == 1 < usual["modules"]
        and all(first[name] == usual[name] for name in ("network", "task", "optimizer"))
        and _training_of(cell) == _training_of(other)
    )


def _training_of(cell: SummaryCell) -> str:
    return "" if cell.accuracies.empty else str(cell.accuracies.iloc[0]["training_text"])


def _with_plain_bp(board: Board, rows: list[BoardRow], plain: SummaryCell) -> Board:
    """Return ``board`` with the rows of plain BP, whose bytes are compared with those of BP on the board.

    Its time was measured beside itself, so there is no ratio.
    """
    activations, total = _bytes_of_bp(board)
    added = [
        replace(
            row,
            is_baseline=False,
            modules=int(plain.first["modules"]),
            activation_ratio=_quotient(row.activation_bytes, activations),
            total_ratio=_quotient(row.total_bytes, total),
            time=None,
        )
        for row in rows
        if row.activation_bytes is not None or row.accuracies
    ]
    return replace(board, rows=_ranked([*board.rows, *added]))


def _with_other_heads(board: Board, added: list[tuple[SummaryCell, BoardRow]], cell: SummaryCell) -> Board:
    """Return ``board`` with rows of methods with other heads, compared with BP on the board.

    Args:
        board: of ``cell``.
        added: rows, each with the cell that it is of.
        cell: of the board.
    """
    activations, total = _bytes_of_bp(board)
    timed = cell.costs[cell.costs["has_latency"]]
    beside = timed.sort_values("is_baseline", kind="stable").tail(1)  # BP's own record, if there is one
    rows = [
        replace(
            row,
            is_baseline=False,
            activation_ratio=_quotient(row.activation_bytes, activations),
            total_ratio=_quotient(row.total_bytes, total),
            time=None if beside.empty else _time_across(other, row.name, beside.iloc[0]),
            has_other_heads=True,
        )
        for other, row in added
        if row.instrument != BY_ALLOCATOR
    ]
    return replace(board, rows=_ranked([*board.rows, *rows]))


def _bytes_of_bp(board: Board) -> tuple[float | None, float | None]:
    """Return the activation bytes and the total bytes of BP on ``board``; None where they were not measured."""
    bp = next((row for row in board.rows if row.is_baseline and row.activation_ratio == 1), None)
    return (None, None) if bp is None else (bp.activation_bytes, bp.total_bytes)


def _time_across(cell: SummaryCell, series: str, bp: pd.Series) -> StepTime | None:
    """Return the time of a series of ``cell`` over that of BP beside ``bp``; None where they do not compare."""
    rows = cell.costs[cell.costs["has_latency"] & (cell.costs["series"] == series)]
    estimate = None if rows.empty else time_over(rows.iloc[0], bp)
    interval = None if estimate is None else estimate.interval()
    if estimate is None or interval is None:
        return None
    because = [one["latency.noisy_because"] for one in (rows.iloc[0], bp) if pd.notna(one["latency.noisy_because"])]
    return StepTime(
        math.exp(estimate.value), *exponential(interval), estimate.processes[0], because[0] if because else None, True
    )


def _quotient(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None


def _ranked(rows: list[BoardRow]) -> list[BoardRow]:
    """Return the rows in order of their activation ratio; those without one follow, each in the usual order."""
    return sorted(rows, key=lambda row: math.inf if row.activation_ratio is None else row.activation_ratio)


def _settings_of(board: Board, rates: Mapping[float, str]) -> list[Setting]:
    held = {setting for row in board.rows for setting in row.accuracies}
    return [
        setting for rate, noise in rates.items() for epoch in EPOCHS if (setting := Setting(rate, epoch, noise)) in held
    ]
