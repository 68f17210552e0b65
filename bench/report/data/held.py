"""The columns that the page holds of its records."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.report.data.columns import Column, columns_of
from bench.report.data.derived import derived_columns
from bench.report.data.described import described_table
from bench.store.record import Record

# Samples, traces, and values by epoch, module or image: most of a record's bytes, which a reader wants of one cell.
_RAW = (
    "accuracy.beliefs_at_best_validation",
    "accuracy.beliefs_last",
    "accuracy.correct_at_best_validation",
    "accuracy.correct_last",
    "accuracy.epochs",
    "accuracy.kl_by_module",
    "accuracy.test_by_module",
    "inference.blocks_seconds",
    "inference.processes",
    "latency.blocks_seconds",
    "latency.processes",
    "memory.timeline",
    "ranks.one_rank_blocks_seconds",
    "trace",
)


@dataclass(frozen=True)
class Held:
    """Columns by path, a value or an index per record; see :mod:`bench.report.data.columns`.

    Attributes:
        count: the number of records.
        columns: what the records hold, but for ``raw``.
        raw: the rest of what they hold.
        derived: what follows from the records; see :func:`bench.report.data.derived.derived_columns`.
        table: the columns that the table of all cells shows at first; see
            :func:`bench.report.data.described.described_table`.
    """

    count: int
    columns: dict[str, Column]
    raw: dict[str, Column]
    derived: dict[str, Column]
    table: list[dict[str, str]]


def stored_columns(records: Sequence[Record]) -> tuple[dict[str, Column], dict[str, Column]]:
    """Return what ``records`` hold as columns: all but the raw samples, and the raw samples."""
    columns = columns_of([record.model_dump(mode="json", by_alias=True) for record in records])
    raw = {path: column for path, column in columns.items() if _is_raw(path)}
    return {path: column for path, column in columns.items() if path not in raw}, raw


def held_columns(
    records: Sequence[Record],
    frame: pd.DataFrame,
    stored: tuple[dict[str, Column], dict[str, Column]] | None = None,
) -> Held:
    """Return the columns of ``records``.

    Args:
        records: one or more.
        frame: their table, :func:`bench.analysis.frame.records_frame`.
        stored: of :func:`stored_columns`, where it was called already; it is called if left out.
    """
    columns, raw = stored_columns(records) if stored is None else stored
    derived = derived_columns(records, frame)
    return Held(len(records), columns, raw, derived, described_table(columns | derived))


def _is_raw(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in _RAW)
