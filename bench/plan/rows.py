"""The rows of a plan, for the table, the CSV file and the figure."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.config.axes import value_of
from bench.config.cell import Cell
from bench.plan.grid import baseline_of, lines_of, memory_axes, memory_cells
from bench.plan.pool import ask_all
from bench.plan.tasks import BATCH_LIMIT, Failure, largest_batch, predict
from bench.store.measurements.memory import Memory

Row = dict[str, Any]
# Wraps an iterator of a known number of answers, to show progress.
Follow = Callable[[Iterator[Any], int], Iterable[Any]]

BY_RANK = "_by_rank"  # how the names of columns end that have a value for each rank
# Those of BP beside them belong to compiled steps, which are not planned.
_BYTES = [name for name in Memory.model_fields if name.endswith("_bytes") and not name.startswith("bp_")]


def grid_rows(
    cells: Iterable[Cell], round_to: int, jobs: int | None, follow: Follow, data_root: Path | None = None
) -> list[Row]:
    """Return one row per distinct memory cell: its axes, its bytes, ratios to BP.

    The bytes are those of :class:`bench.store.measurements.memory.Memory`.

    On several ranks, these are the bytes of the rank that holds most activations, and ``peak_total_bytes`` are those of
    the rank that needs most in total, as in a report. Columns ``..._by_rank`` have the bytes of each rank, in order.

    BP is predicted for every cell, even if the sweep does not contain it. Unknown values are None, and ``message``
    gives the reason.

    Args:
        cells: the cells of a sweep.
        round_to: storage sizes are rounded up to a multiple of this number of bytes.
        jobs: number of processes; None uses one per core.
        follow: wraps the answers to show progress.
        data_root: the directory of data sets from files.

    Raises:
        ConfigError: a cell cannot be planned; see :func:`bench.plan.grid.memory_cells`.
    """
    distinct = memory_cells(cells, data_root)
    asked = list(dict.fromkeys([*distinct, *map(baseline_of, distinct)]))
    task = partial(predict, round_to=round_to, data_root=data_root)
    answers = dict(zip(asked, follow(ask_all(task, asked, jobs), len(asked)), strict=True))
    return [_axes(cell) | _grid_columns(answers[cell], answers[baseline_of(cell)]) for cell in distinct]


def budget_rows(
    cells: Iterable[Cell],
    budget: int,
    round_to: int,
    jobs: int | None,
    follow: Follow,
    data_root: Path | None = None,
) -> list[Row]:
    """Return one row per line of cells that differ only in the batch size, with the largest batch within ``budget``.

    ``largest_batch`` is a number, ``none`` or ``> LIMIT``; ``peak_total_bytes`` are the bytes at that batch, and
    ``next_peak_total_bytes`` those of a batch with one more sample, or of the next one that is legal. On several ranks,
    they are those of the rank that needs most, which decides.

    Args:
        cells: the cells of a sweep.
        budget: bytes.
        round_to: storage sizes are rounded up to a multiple of this number of bytes.
        jobs: number of processes; None uses one per core.
        follow: wraps the answers to show progress.
        data_root: the directory of data sets from files.

    Raises:
        ConfigError: a cell cannot be planned; see :func:`bench.plan.grid.memory_cells`.
    """
    lines = lines_of(memory_cells(cells, data_root), data_root)
    task = partial(largest_batch, round_to=round_to, budget=budget, data_root=data_root)
    rows = []
    for line, answer in zip(lines, follow(ask_all(task, lines, jobs), len(lines)), strict=True):
        failed = isinstance(answer, Failure)
        columns = {
            "largest_batch": None if failed else batch_text(answer.batch),
            "peak_total_bytes": None if failed else answer.total_bytes,
            "next_peak_total_bytes": None if failed else answer.next_total_bytes,
            "peak_total_bytes_by_rank": None if failed else answer.by_rank,
            "message": answer.message if failed else None,
        }
        rows.append({name: value for name, value in _axes(line).items() if name != "batch_size"} | columns)
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV; the first line has the names of the columns."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _csv_value(name, value) for name, value in row.items()})
    return buffer.getvalue()


def _axes(cell: Cell) -> Row:
    return {name: value_of(cell, name) for name in memory_axes()}


def _grid_columns(answer: tuple[Memory, ...] | Failure, baseline: tuple[Memory, ...] | Failure) -> Row:
    ratios = ("activation", "total")
    by_rank = [f"peak_{name}_bytes_by_rank" for name in ratios]
    if isinstance(answer, Failure):
        names = [*_BYTES, *by_rank, *(f"{name}_ratio_to_bp" for name in ratios)]
        return dict.fromkeys(names) | {"message": answer.message}
    largest = max(answer, key=lambda memory: memory.peak_activation_bytes)
    columns: Row = {name: getattr(largest, name) for name in _BYTES}
    columns["peak_total_bytes"] = max(memory.peak_total_bytes for memory in answer)
    for name, column in zip(ratios, by_rank, strict=True):
        columns[column] = tuple(getattr(memory, f"peak_{name}_bytes") for memory in answer)
    of_bp = None if isinstance(baseline, Failure) else baseline[0]
    for name in ratios:
        peak = f"peak_{name}_bytes"
        columns[f"{name}_ratio_to_bp"] = None if of_bp is None else columns[peak] / getattr(of_bp, peak)
    return columns | {"message": None}


def _csv_value(name: str, value: Any) -> Any:
    return " ".join(map(str, value)) if name.endswith(BY_RANK) and value is not None else value


def batch_text(batch: int) -> int | str:
    """Return a largest batch as rows hold it: a number, ``none`` or ``> LIMIT``."""
    return "none" if batch == 0 else f"> {BATCH_LIMIT}" if batch == BATCH_LIMIT else batch
