"""The table of cells on several ranks."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bench.analysis.ranks import rows_on_several_ranks
from bench.analysis.words import counted
from bench.report.tables.cells import cell_columns, in_order, without_constant_columns
from bench.report.tables.text import NOT_MEASURED
from bench.store.measurements.ranks import Ranks


def ranks_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell on several ranks; empty if there is none."""
    rows = rows_on_several_ranks(frame)
    if rows.empty:
        return pd.DataFrame()
    return without_constant_columns(pd.DataFrame([_row(row) for _, row in in_order(rows).iterrows()]))


def _row(row: pd.Series) -> dict[str, object]:
    results: Ranks = row["rank_results"]
    peaks, totals = results.peak_activation_bytes, results.peak_total_bytes
    rate = row.get("latency.samples_per_second")
    return cell_columns(row) | {
        "ranks": row["ranks"],
        "threads per rank": "unset" if pd.isna(row["threads"]) else int(row["threads"]),
        "modules by rank": ", ".join(map(str, results.modules)),
        "time / one rank's [95 %]": _ratio_text(results),
        "verdict": row["verdict"],
        "bound": NOT_MEASURED if results.bound is None else f"{results.bound:.2f}",
        "busy by rank, %": _listed(results.busy_share, lambda share: f"{100 * share:.0f}"),
        "peak activation bytes, largest rank": NOT_MEASURED if peaks is None else f"{max(peaks):,}",
        "peak activation bytes, all ranks": NOT_MEASURED if peaks is None else f"{sum(peaks):,}",
        "peak activation bytes by rank": _listed(peaks, lambda size: f"{size:,}"),
        "peak total bytes, largest rank": NOT_MEASURED if totals is None else f"{max(totals):,}",
        "peak total bytes by rank": _listed(totals, lambda size: f"{size:,}"),
        "samples/s": NOT_MEASURED if pd.isna(rate) else f"{rate:,.0f}",
    }


def _ratio_text(results: Ranks) -> str:
    if results.ratio_to_one_rank is None:
        return NOT_MEASURED
    if results.ratio_to_one_rank_ci95 is None:
        return f"{results.ratio_to_one_rank:.2f} (no interval)"
    low, high = results.ratio_to_one_rank_ci95
    runs = len(results.one_rank_blocks_by_process or [0])
    return f"{results.ratio_to_one_rank:.2f} [{low:.2f}, {high:.2f}] ({counted(runs, 'run')})"


def _listed(values: Sequence[Any] | None, show: Callable[[Any], str]) -> str:
    return NOT_MEASURED if values is None else "; ".join(map(show, values))
