"""The names and the order of the series of a figure: a method, and the settings that distinguish its lines."""

from typing import Any

import pandas as pd

from bench.config.alpha import alpha_text
from bench.config.axes import axes
from bench.config.methods import known_method


def series_names(frame: pd.DataFrame) -> pd.Series:
    """Return the name of each row's series: its method, and the settings that distinguish the method's lines.

    The table of axes says which axes a name contains: some wherever they differ from their default, and some only where
    the method occurs with several values. The number of ranks follows where it is not 1.
    """
    names = frame["method"]
    for axis, row in axes().items():
        if axis not in frame or row.series == "never":  # a plan has no column for axes that memory does not depend on
            continue
        values = frame[axis].map(axis_text)
        text = f" {axis.replace('_', '-')} " + values
        if row.series == "unless default":
            names = names.where(values == axis_text(row.default), names + text)
        else:
            groups = [frame["method"], frame["direction"]] if axis == "smoothing" else frame["method"]
            several = values.groupby(groups).transform("nunique") > 1
            names = names.where(~several, names + text)
    if "ranks" in frame:
        names = names.where(frame["ranks"] == 1, names + ", " + frame["ranks"].map(str) + " ranks")
    return names


def axis_text(value: Any) -> str:
    """Return the value of an axis as text; ``unset`` for None."""
    if value is None or value != value:  # in a column of numbers, pandas stores None as NaN
        return "unset"
    return alpha_text(value) if isinstance(value, float | tuple) else str(value).lower()


def method_place(method: str) -> float:
    """Return the position of ``method`` in tables and figures; infinity if it has none."""
    row = known_method(method)
    return float("inf") if row is None or row.order is None else row.order


def ordered_series(frame: pd.DataFrame) -> list[str]:
    """Return the distinct series of ``frame``: known methods in their usual order, then others by name."""
    firsts = frame.drop_duplicates("series")

    def rank(item: tuple[str, str]) -> tuple[float, str]:
        series, method = item
        return method_place(method), series

    return [series for series, _ in sorted(zip(firsts["series"], firsts["method"], strict=True), key=rank)]
