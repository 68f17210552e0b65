"""The table of cells without a result."""

import pandas as pd

from bench.report.tables.cells import cell_columns, without_constant_columns
from bench.report.tables.limit import Limited, limited


def failure_table(frame: pd.DataFrame) -> Limited:
    """Return one row per cell whose status is not ``ok``, with its message."""
    return limited(frame[frame["status"] != "ok"], _table)


def _table(failed: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {"status": row["status"], **cell_columns(row), "seed": row["seed"], "message": row["message"]}
        for _, row in failed.iterrows()
    ]
    return without_constant_columns(pd.DataFrame(rows))
