"""Growth of peak activation memory with depth."""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from bench.analysis.series import ordered_series

# What a line of depths has in common, besides one hidden layer per module.
_FIXED = ["network", "dataset", "image", "classes", "width", "hidden", "batch_size"]


class Growth(NamedTuple):
    """The rows of one series at its smallest and its largest depth, with one hidden layer per module."""

    series: str
    shallowest: pd.Series
    deepest: pd.Series

    @property
    def factor(self) -> float:
        """Peak activation bytes at the largest depth divided by those at the smallest."""
        return float(self.deepest["memory.peak_activation_bytes"] / self.shallowest["memory.peak_activation_bytes"])


def growth_with_depth(frame: pd.DataFrame) -> Iterator[Growth]:
    """Yield the growth of every series that was measured at two depths or more."""
    if frame.empty or not frame["has_memory"].any():
        return
    measured = frame[frame["has_memory"] & (frame["layers_per_module"] == 1)]
    narrow = measured[[*_FIXED, "series", "method", "depth"]].reset_index(drop=True)
    for _, part in narrow.groupby(_FIXED, dropna=False):
        lines: dict[str, list[tuple[int, int]]] = {}
        for series, depth, place in zip(part["series"], part["depth"], part.index, strict=True):
            lines.setdefault(series, []).append((depth, place))
        for series in ordered_series(part):
            (shallowest, first), *_, (deepest, last) = sorted(lines[series]) * 2
            if shallowest < deepest:
                yield Growth(series, measured.iloc[first], measured.iloc[last])
