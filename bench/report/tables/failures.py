"""The table of cells without a result."""

import pandas as pd

from bench.analysis.panels import cell_titles
from bench.report.tables.limit import Limited, limited


def failure_table(frame: pd.DataFrame) -> Limited:
    """Return one row per cell whose status is not ``ok``, with its message."""
    return limited(frame[frame["status"] != "ok"], _table)


def _table(failed: pd.DataFrame) -> pd.DataFrame:
    if failed.empty:
        return failed
    return pd.DataFrame(
        {
            "method": failed["series"],
            "cell": [title.replace("\n", ", ") for title in cell_titles(failed)],
            "seed": failed["seed"],
            "status": failed["status"],
            "message": failed["message"],
        }
    )
