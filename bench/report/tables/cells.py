"""The columns that identify a cell in a table, and the order of the rows."""

from typing import Any

import pandas as pd

from bench.analysis.series import ordered_series

# Columns that are shown only if their rows differ.
_SHOWN_IF_DIFFERENT = ("cut", "width", "samples", "learning rate", "weight decay", "schedule")
_ORDER = [
    "network",
    "dataset",
    "pixels",
    "optimizer",
    "epochs",
    "noise_kind",
    "noise_rate",
    "depth",
    "modules",
    "cut",
    "width",
    "hidden",
    "batch_size",
    "order",
    "ranks",
    "seed",
]


def cell_columns(row: pd.Series) -> dict[str, Any]:
    """Return the columns that identify the cell of ``row``."""
    return {
        "network": row["network"],
        "layout": row["layout"],
        "data": row["dataset"],
        "image": row["image"],
        "method": row["series"],
        "depth": row["depth"],
        "modules": row["modules"],
        "cut": row["cut"],
        "width": row["width"],
        "hidden": row["hidden"],
        "batch": row["batch_size"],
    }


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by network, data, sizes and method."""
    order = {series: index for index, series in enumerate(ordered_series(frame))}
    return frame.assign(order=frame["series"].map(order)).sort_values(_ORDER)


def without_constant_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` without the columns of secondary axes that are equal in all rows."""
    constant = [name for name in _SHOWN_IF_DIFFERENT if name in table and table[name].nunique() == 1]
    return table.drop(columns=constant)
