"""The section ``leaderboard``: every method on the cells that represent a network, and predictions."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from bench.analysis.instruments import BY_ALLOCATOR
from bench.analysis.leaderboard import Board, BoardRow, Setting, TestAccuracy, boards
from bench.analysis.places import place_of_sid
from bench.analysis.words import counted
from bench.report.bars import Bar, Scale, points_scale, ratio_scale
from bench.report.inputs import Inputs
from bench.report.tables.inference import inference_table
from bench.report.tables.layouts import layouts_table
from bench.report.tables.limit import Limited
from bench.report.tables.text import basis_text, interval_of_points, mebibytes, points_text, processes_text, ratio

MOST_BOARDS = 12

_RATIO_STEPS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_TIME_STEPS = (1.25, 1.5, 2, 3, 4, 8, 16)
_POINT_STEPS = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True)
class Entry:
    """A number of a board.

    Attributes:
        value: by which a reader sorts; empty if nothing was measured.
        number: the number.
        detail: the line below it, such as its interval; may be empty.
        bar: None where there is nothing to compare.
        verdict: of a difference from BP; None without one.
        doubt: why the number cannot be relied on; None if it can.
        title: what it rests on, for a tooltip.
        cell: the id of its record.
    """

    value: str = ""
    number: str = ""
    detail: str = ""
    bar: Bar | None = None
    verdict: str | None = None
    doubt: str | None = None
    title: str = ""
    cell: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a board: its heading, the term that it shows, and the scale of its bars."""

    heading: str
    term: str
    scale: Scale
    entry: Callable[[BoardRow, Scale], Entry]


@dataclass(frozen=True)
class ShownBoard:
    """A board as the page shows it.

    Attributes:
        network: its name.
        layout: of the network.
        cell: as text.
        columns: those in which something was measured.
        rows: the row of the board, and its entries in the order of the columns.
        place: a sentence on where SID stands; None without SID or other methods.
        has_other_heads: a row is of a method with other heads.
    """

    network: str
    layout: str
    cell: str
    columns: list[Column]
    rows: list[tuple[BoardRow, list[Entry]]]
    place: str | None
    has_other_heads: bool


@dataclass(frozen=True)
class Leaderboard:
    """The content of the section.

    Attributes:
        boards: by network, its boards.
        left_out: of each network whose boards are not shown, its name and their number.
        both_layouts: the backbones that were measured in both layouts.
        predictions: the costs of predictions.
        measured: whether any cell has a result.
        layouts: of the networks shown.
        accuracies: whether a board has one.
    """

    boards: dict[str, list[ShownBoard]]
    left_out: list[tuple[str, int]]
    both_layouts: pd.DataFrame
    predictions: Limited
    measured: bool
    layouts: set[str]
    accuracies: bool


def leaderboard(inputs: Inputs) -> Leaderboard:
    """Return the boards of up to twelve cells, and the tables of both layouts and of predictions."""
    measured = inputs.measured
    found = [] if measured.empty else boards(measured)
    shown, left_out = found[:MOST_BOARDS], found[MOST_BOARDS:]
    columns = _columns(shown)
    by_network: dict[str, list[ShownBoard]] = {}
    for board in shown:
        by_network.setdefault(board.network, []).append(_shown(board, columns))
    return Leaderboard(
        boards=by_network,
        left_out=_counted(board.network for board in left_out),
        both_layouts=layouts_table(measured),
        predictions=inference_table(measured),
        measured=not measured.empty,
        layouts={board.layout for board in shown},
        accuracies=any(board.settings for board in shown),
    )


def _counted(names: Iterable[str]) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return list(counts.items())


def _shown(board: Board, columns: list[Column]) -> ShownBoard:
    entries = [[column.entry(row, column.scale) for row in board.rows] for column in columns]
    held = [index for index, own in enumerate(entries) if any(entry.value for entry in own)]
    return ShownBoard(
        network=board.network,
        layout=board.layout,
        cell=board.cell,
        columns=[columns[index] for index in held],
        rows=[(row, [entries[index][place] for index in held]) for place, row in enumerate(board.rows)],
        place=place_of_sid(board),
        has_other_heads=any(row.has_other_heads for row in board.rows),
    )


def _columns(found: list[Board]) -> list[Column]:
    """Return the columns of all boards, whose bars have one scale per quantity."""
    rows = [row for board in found for row in board.rows]
    accuracies = [accuracy for row in rows for accuracy in row.accuracies.values()]
    bytes_ = ratio_scale(
        (value for row in rows for value in (row.activation_ratio, row.total_ratio) if value is not None), _RATIO_STEPS
    )
    time = ratio_scale((end for row in rows if row.time for end in (row.time.low, row.time.high)), _TIME_STEPS)
    difference = points_scale(_points(accuracies), _POINT_STEPS)
    settings = sorted({setting for board in found for setting in board.settings}, key=_order)
    return [
        Column("activations / BP", "Peak activation bytes", bytes_, _activations),
        Column("total / BP", "Peak total bytes", bytes_, _total),
        Column("step time / BP", "Step time / BP", time, _time),
        *(
            Column(f"accuracy, {_words(setting)}, %", "Test accuracy", difference, _accuracy_in(setting))
            for setting in settings
        ),
    ]


def _points(accuracies: list[TestAccuracy]) -> list[float]:
    estimates = (one.difference.estimate for one in accuracies if one.difference is not None)
    return [100 * estimate.value for estimate in estimates if estimate is not None]


def _order(setting: Setting) -> tuple[float, bool]:
    return setting.rate, setting.epoch != "last"


def _words(setting: Setting) -> str:
    return f"{setting.noise}, {setting.epoch} epoch"


def _activations(row: BoardRow, scale: Scale) -> Entry:
    return _bytes(row, row.activation_bytes, row.activation_ratio, scale)


def _total(row: BoardRow, scale: Scale) -> Entry:
    return _bytes(row, row.total_bytes, row.total_ratio, scale)


def _bytes(row: BoardRow, size: float | None, relative: float | None, scale: Scale) -> Entry:
    if size is None:
        return Entry()
    is_exact = row.instrument != BY_ALLOCATOR
    text = f"{mebibytes(size)} MiB" + ("" if is_exact else " (allocator)")
    title = f"{size:,.0f} bytes" + ("" if is_exact else ", as is BP's that it is compared with, by the allocator")
    if relative is None:
        return Entry(f"{size:.0f}", text, title=title, cell=row.record)
    return Entry(f"{relative!r}", ratio(relative), text, scale.bar(relative), title=title, cell=row.record)


def _time(row: BoardRow, scale: Scale) -> Entry:
    time = row.time
    if time is None:
        return Entry()
    processes = processes_text(time.processes)
    interval = f"[{time.low:.2f}, {time.high:.2f}]"
    across = "; its steps and BP's were timed in processes that took turns" if time.is_across else ""
    return Entry(
        value=f"{time.ratio!r}",
        number=f"{time.ratio:.2f}",
        detail=f"{interval}, {processes}" if time.processes == 1 else interval,
        bar=scale.bar(time.ratio, (time.low, time.high)),
        doubt=time.noisy_because,
        title=f"95 % interval over {processes}{across}",
        cell=row.record,
    )


def _accuracy_in(setting: Setting) -> Callable[[BoardRow, Scale], Entry]:
    def entry(row: BoardRow, scale: Scale) -> Entry:
        held = row.accuracies.get(setting)
        if held is None or held.share is None:
            return Entry()
        number, seeds = f"{100 * held.share:.1f}", counted(held.seeds, "seed")
        value = f"{held.share!r}"
        difference = held.difference
        if difference is None or difference.estimate is None:
            return Entry(value, number, title=seeds, cell=held.record)
        interval = difference.interval
        ends = None if interval is None else (100 * interval.low, 100 * interval.high)
        return Entry(
            value=value,
            number=number,
            detail=f"{points_text(difference)} {interval_of_points(difference) or '(no interval)'}",
            bar=scale.bar(100 * difference.estimate.value, ends),
            verdict=difference.verdict,
            title=f"minus BP's: {basis_text(difference)}",
            cell=held.record,
        )

    return entry
