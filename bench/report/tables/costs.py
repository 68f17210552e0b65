"""The table of memory and latency per cell."""

import pandas as pd

from bench.analysis.instruments import BY_ALLOCATOR, DISAGREEMENT_LIMIT
from bench.analysis.pareto import with_front
from bench.report.tables.cells import cell_columns, in_order, without_constant_columns
from bench.report.tables.limit import Limited
from bench.report.tables.text import NOT_MEASURED, by_instrument, bytes_text, latency_ratio, milliseconds, ratio

_MOST_ROWS = 24  # on a page, whose list of all cells has the rest


def limited_costs(frame: pd.DataFrame, most: int = _MOST_ROWS) -> Limited:
    """Return :func:`cost_table` of the first cells of ``frame``, and how many are left out."""
    measured = in_order(frame[frame["has_memory"] | frame["has_latency"]])
    # Whole groups of cells, so that the front of each is that of all of its methods.
    table = cost_table(frame[frame["pair"].isin(measured["pair"].head(most))])
    return Limited(table.head(most), max(0, len(measured) - most))


def cost_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell with memory or latency; cells that have both also show the Pareto front."""
    rows = []
    fronts = with_front(frame)["front"].to_dict()
    for index, row in in_order(frame[frame["has_memory"] | frame["has_latency"]]).iterrows():
        columns = cell_columns(row)
        if row["has_memory"]:
            columns |= {
                "peak activation bytes": by_instrument(bytes_text(row["memory.peak_activation_bytes"]), row),
                "activations / BP": by_instrument(ratio(row.get("memory.activation_ratio")), row),
                "peak total bytes": by_instrument(bytes_text(row["memory.peak_total_bytes"]), row),
                "total / BP": by_instrument(ratio(row.get("memory.total_ratio")), row),
                "activations / bound": ratio(row["memory.over_bound"]),
                "allocator": _agreement(row),
            }
        if row["has_latency"]:
            columns |= {
                "step, ms": milliseconds(row["latency.median_seconds"]),
                "IQR, ms": milliseconds(row["latency.iqr_seconds"]),
                "BP in the same run, ms": milliseconds(row["latency.bp_median_seconds"]),
                "latency / BP [95 %]": latency_ratio(row),
                "samples/s": f"{row['latency.samples_per_second']:,.0f}",
            }
            if pd.notna(row.get("latency.compile_seconds")):
                columns["to compile, s"] = f"{row['latency.compile_seconds']:.1f}"
            columns |= {
                f"{phase}, ms": milliseconds(row[f"latency.{phase}_seconds"])
                for phase in ("forward", "backward", "optimizer")
                if pd.notna(row.get(f"latency.{phase}_seconds"))
            }
        if index in fronts:
            columns["Pareto front"] = fronts[index]
        rows.append(columns)
    return without_constant_columns(pd.DataFrame(rows).fillna(NOT_MEASURED))


def _agreement(row: pd.Series) -> str:
    """Return whether the allocator's count without workspaces agrees with the exact count."""
    if row["memory.instrument"] == BY_ALLOCATOR:
        return "counts alone"
    disagreement = row["memory.allocator.disagreement"]
    if pd.isna(disagreement):
        return NOT_MEASURED
    return "agrees" if abs(disagreement) <= DISAGREEMENT_LIMIT else f"differs by {100 * disagreement:+.1f} %"
