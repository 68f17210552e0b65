"""The Pareto front of peak activation bytes and step latency, per cell."""

from collections.abc import Iterator

import pandas as pd

ON_FRONT = "on the front"


def with_front(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have memory and latency, with columns ``on_front`` (by medians) and ``front`` (as text).

    A row is on the front if no other method on the same cell needs at most as many activation bytes and at most as much
    time, and less of one of the two. Only rows on one rank are compared. ``front`` names the methods that dominate a
    row, and the methods whose latency intervals overlap the row's; the medians cannot decide between those.
    """
    rows = frame[frame["has_memory"] & frame["has_latency"]]
    if rows.empty:
        return rows.assign(on_front=False, front="")
    rows = rows[rows["ranks"] == 1]
    places: dict[object, tuple[bool, str]] = {}
    for _, cell in rows.groupby("pair", sort=False):
        places |= dict(zip(cell.index, _places(cell), strict=True))
    found = [places[index] for index in rows.index]
    return rows.assign(on_front=[is_on for is_on, _ in found], front=[text for _, text in found])


def _places(cell: pd.DataFrame) -> Iterator[tuple[bool, str]]:
    """Yield, for each row of one cell, whether it is on the front, and the same as text."""
    costs = [
        (row["series"], row["memory.peak_activation_bytes"], row["latency.ratio_to_bp"], *row["latency.ratio_ci95"])
        for _, row in cell.iterrows()
    ]
    for own, size, ratio, low, high in costs:
        dominators, near = [], []
        for other, other_size, other_ratio, other_low, other_high in costs:
            if other == own or other_size > size:
                continue
            overlaps = low <= other_high and other_low <= high
            if other_ratio <= ratio and (other_size < size or other_ratio < ratio):
                dominators.append((other, overlaps))
            elif overlaps:
                near.append(other)
        clear = [other for other, overlaps in dominators if not overlaps]
        if clear:
            yield False, f"no: {', '.join(clear)}"
        elif dominators:
            yield False, f"no, but within the interval of {', '.join(other for other, _ in dominators)}"
        elif near:
            yield True, f"{ON_FRONT}, within the interval of {', '.join(near)}"
        else:
            yield True, ON_FRONT
