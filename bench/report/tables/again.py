"""The table of cells that were measured again."""

from collections.abc import Sequence

import pandas as pd

from bench.analysis.again import MeasuredAgain
from bench.config.label import label
from bench.report.tables.limit import MOST_ROWS, Limited
from bench.report.tables.text import bytes_text, interval_text
from bench.store.record import Record


def again_table(cells: Sequence[MeasuredAgain], most: int = MOST_ROWS) -> Limited:
    """Return one row per cell with its first and its last result, and when they were measured; empty without cells."""
    return Limited(pd.DataFrame([_row(cell) for cell in cells[:most]]), max(0, len(cells) - most))


def _row(cell: MeasuredAgain) -> dict[str, object]:
    first, last = cell.records[0], cell.records[-1]
    return {
        "cell": label(last.cell),
        "records": len(cell.records),
        "starts": cell.starts,
        "first measured": first.created,
        "first result": _result(first),
        "last measured": last.created if last is not first else "the same record",
        "last result": _result(last) if last is not first else "the same record",
    }


def _result(record: Record) -> str:
    """Return the status of ``record`` with its message, or what was measured."""
    parts: list[str] = [] if record.status == "ok" else [record.status]
    if record.latency is not None:
        latency = record.latency
        low, high = latency.ratio_ci95
        ratio = interval_text(latency.ratio_to_bp, low, high, len(latency.blocks_by_process))
        parts.append(f"latency / BP {ratio}{f' noisy: {latency.noisy_because}' if latency.noisy_because else ''}")
    if record.memory is not None:
        parts.append(f"peak activation bytes {bytes_text(record.memory.peak_activation_bytes)}")
    if record.accuracy is not None:
        parts.append(f"last epoch {100 * record.accuracy.test_last:.1f} %")
    if record.message:
        parts.append(record.message)
    return "; ".join(parts) or record.status
