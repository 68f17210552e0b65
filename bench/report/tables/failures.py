"""The table of cells without a result."""

import pandas as pd

from bench.report.tables.cells import cell_columns, without_constant_columns


def failure_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell whose status is not ``ok``, with its message."""
    failed = frame[frame["status"] != "ok"]
    rows = [
        {"status": row["status"], **cell_columns(row), "seed": row["seed"], "message": row["message"]}
        for _, row in failed.iterrows()
    ]
    return without_constant_columns(pd.DataFrame(rows))
