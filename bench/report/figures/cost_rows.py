"""The rows of figures that compare memory with time."""

import pandas as pd

from bench.analysis.series import ordered_series

_RATIOS = ["memory.activation_ratio", "latency.ratio_to_bp"]


def with_both_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose ratios of memory and time to BP's are above 0, as a logarithmic axis needs them."""
    return rows[rows[_RATIOS].gt(0).all(axis=1)] if set(_RATIOS) <= set(rows) else rows.iloc[0:0]


def in_order_of_series(cell: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a cell in the order in which a page shows its series."""
    order = ordered_series(cell)
    return cell.sort_values("series", key=lambda names: names.map(order.index), kind="stable").reset_index(drop=True)
