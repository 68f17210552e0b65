"""The table of update locking per method."""

import pandas as pd

from bench.analysis.locking import locked_share, step_seconds, waiting_share, waits_by_module
from bench.analysis.series import ordered_series
from bench.analysis.traced import traced_cells
from bench.report.tables.cells import without_constant_columns
from bench.report.tables.text import milliseconds
from bench.store.measurements.trace import Trace


def locking_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return, for each method on a traced cell, when gradients are complete and how long modules are locked."""
    rows = []
    for part in traced_cells(frame):
        for series in ordered_series(part):
            row = part[part["series"] == series].iloc[0]
            trace: Trace = row["trace"]
            waits = waits_by_module(trace)
            rows.append(
                {
                    "network": row["network"],
                    "layout": row["layout"],
                    "data": row["dataset"],
                    "image": row["image"],
                    "method": series,
                    "modules": row["modules"],
                    "cut": row["cut"],
                    "batch": row["batch_size"],
                    "ranks": row["ranks"],
                    "traced step, ms": milliseconds(step_seconds(trace)),
                    "gradient of module 1 complete, % of the step": _percent(waits[0].complete if waits else None),
                    "module 1 locked, % of the step": _percent(waits[0].locked if waits else None),
                    "locked, mean over modules, %": _percent(locked_share(trace)),
                    "waiting for other ranks, % of time": _percent(
                        waiting_share(trace), "not recorded" if row["ranks"] > 1 else "one rank"
                    ),
                }
            )
    return without_constant_columns(pd.DataFrame(rows))


def _percent(share: float | None, otherwise: str = "modules not separate") -> str:
    return otherwise if share is None else f"{100 * share:.1f}"
