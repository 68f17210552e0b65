"""The contents of a figure as a table, and as a text alternative."""

from collections.abc import Callable

import pandas as pd

from bench.analysis.series import ordered_series


def data_table(rows: pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Return the numbers of a figure, with a column for the panel and one for the series.

    Args:
        rows: the rows that the figure draws.
        columns: the columns to show, and their headings.
    """
    table = rows[["panel", "series", *columns]].copy()
    table["panel"] = table["panel"].str.replace("\n", ", ")
    table = table.rename(columns={"panel": "where", "series": "method", **columns})
    for column in table.select_dtypes("float").columns:
        shown = "{:,.0f}" if column.endswith("bytes") else "{:.4g}"  # bytes are exact
        table[column] = table[column].map(shown.format)
    return table.reset_index(drop=True)


def ends_of_lines(rows: pd.DataFrame, x: str, quantity: str, show: Callable[[float], str]) -> str:
    """Return a sentence per panel with the first and the last value of each line.

    Args:
        rows: the rows that the figure draws.
        x: the column of the horizontal axis.
        quantity: name of ``y``.
        show: formats a value of ``y``.
    """
    sentences = []
    for panel in sorted(rows["panel"].unique()):
        shown = rows[rows["panel"] == panel]
        ends = []
        for series in ordered_series(shown):
            means = shown[shown["series"] == series].groupby(x)["y"].mean()
            ends.append(f"{series} from {show(means.iloc[0])} to {show(means.iloc[-1])}")
        low, high = shown[x].min(), shown[x].max()
        place, axis = panel.replace("\n", ", "), x.replace("_", " ")
        sentences.append(f"{place}: {quantity} at {axis} {low:g} to {high:g}: {', '.join(ends)}.")
    return " ".join(sentences)
