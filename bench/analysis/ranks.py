"""Rows of cells that ran on several ranks."""

import pandas as pd

from bench.analysis.series import series_names


def rows_on_several_ranks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with results of several ranks.

    Their series omit the number of ranks: a figure draws it as an axis, and a table has a column for it.
    """
    if frame.empty:
        return frame
    rows = frame[frame["rank_results"].notna()]
    return rows if rows.empty else rows.assign(series=series_names(rows.drop(columns="ranks")))
