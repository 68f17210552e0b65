"""The tables of bytes by category, and of their growth with depth."""

import pandas as pd

from bench.analysis.growth import growth_with_depth
from bench.report.tables.cells import cell_columns, in_order, without_constant_columns
from bench.report.tables.text import by_instrument, bytes_text

_CATEGORIES = {
    "activation, trunk": "memory.at_peak.activation_trunk",
    "activation, modules": "memory.at_peak.activation_modules",
    "temporary, trunk": "memory.at_peak.temporary_trunk",
    "temporary, modules": "memory.at_peak.temporary_modules",
    "parameter": "memory.parameter_bytes",
    "gradient": "memory.gradient_bytes",
    "optimizer state": "memory.optimizer_bytes",
    "buffer": "memory.buffer_bytes",
    "input": "memory.input_bytes",
    "workspace in operators": "memory.allocator.workspace_bytes",
}


def category_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the bytes of each category at the peak, and the workspaces of operators, one row per cell."""
    if "memory.at_peak.activation_trunk" not in frame:
        return pd.DataFrame()
    measured = frame[frame["memory.at_peak.activation_trunk"].notna()]
    rows = [
        cell_columns(row) | {name: bytes_text(row[column]) for name, column in _CATEGORIES.items()}
        for _, row in in_order(measured).iterrows()
    ]
    return without_constant_columns(pd.DataFrame(rows))


def growth_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the growth of peak activations from the smallest to the largest depth, one row per line of depths."""
    rows = []
    for growth in growth_with_depth(frame):
        first, last = growth.shallowest, growth.deepest
        rows.append(
            {
                "network": first["network"],
                "layout": first["layout"],
                "data": first["dataset"],
                "image": first["image"],
                "width": first["width"],
                "hidden": first["hidden"],
                "batch": first["batch_size"],
                "method": growth.series,
                "depths": f"{first['depth']} to {last['depth']}",
                "bytes at the smallest depth": by_instrument(bytes_text(first["memory.peak_activation_bytes"]), first),
                "bytes at the largest depth": by_instrument(bytes_text(last["memory.peak_activation_bytes"]), last),
                "growth": f"{growth.factor:.3f}",
            }
        )
    return pd.DataFrame(rows)
