"""The Pareto front of peak activation bytes and step time, per cell."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pandas as pd

ON_FRONT = "on the front"
NOT_JUDGED = "not judged, noisy"
BY_ESTIMATES = "by the estimates"
# What methods of one cell are compared by: where one instrument counted their bytes, and where two did.
_SIZES = ("memory.peak_activation_bytes", "memory.activation_ratio")
_TIMES = ("latency.ratio_to_bp", "latency.ratio_ci95", "latency.blocks_by_process")


class Band(NamedTuple):
    """Where the Pareto front can be, if each time is somewhere within its interval.

    Attributes:
        times: where one of the two fronts has a step, ascending.
        least: the least bytes of the methods that are as fast as each of ``times`` if every time is the low end of its
            interval.
        most: the same if every time is the high end; infinity where no method is as fast.
    """

    times: list[float]
    least: list[float]
    most: list[float]


def front_band(points: Sequence[tuple[float, float, float]]) -> Band:
    """Return the band of the Pareto front of methods, given as bytes and both ends of the interval of their time.

    Between two of its times, and from the last one on, a band keeps the bytes of the first of them.
    """
    times = sorted({end for _, low, high in points for end in (low, high)})
    least = [min(size for size, low, _ in points if low <= time) for time in times]
    most = [min((size for size, _, high in points if high <= time), default=math.inf) for time in times]
    return Band(times, least, most)


def ends_of_times(cell: pd.DataFrame) -> list[tuple[float, float]] | None:
    """Return the interval of each time of a cell, whose rows are not noisy; None where one rests on one process.

    An interval of one process does not say how processes differ, so it cannot tell a method from others. Such a cell
    has the front of its estimates only.
    """
    if (cell["latency.blocks_by_process"].map(len) < 2).any():
        return None
    return [(low, high) for low, high in cell["latency.ratio_ci95"]]


def with_front(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have memory and latency, with columns ``on_front`` (by medians) and ``front`` (as text).

    A row is on the front if no other method on the same cell needs at most as many activation bytes and at most as much
    time, and less of one of the two. Only rows on one rank are compared. ``front`` names the methods that dominate a
    row, and the methods whose latency intervals overlap the row's; the medians cannot decide between those. Where a
    time of the cell rests on one process, ``front`` compares no intervals, and says that it goes by the estimates (see
    :func:`ends_of_times`). Rows with a noisy latency take no part. Where two instruments counted the bytes of a cell,
    ratios to BP's by the same instrument take the place of bytes.
    """
    rows = frame[frame["has_memory"] & frame["has_latency"]]
    if rows.empty:
        return rows.assign(on_front=False, front="")
    rows = rows[rows["ranks"] == 1]
    quiet = rows[rows["latency.noisy_because"].isna()]
    places: dict[object, tuple[bool, str]] = dict.fromkeys(rows.index, (False, NOT_JUDGED))
    narrow = quiet[["pair", "series", "memory.instrument", *_SIZES, *_TIMES]]
    for _, cell in narrow.groupby("pair", sort=False):
        places |= dict(zip(cell.index, _places(cell), strict=True))
    found = [places[index] for index in rows.index]
    return rows.assign(on_front=[is_on for is_on, _ in found], front=[text for _, text in found])


def _places(cell: pd.DataFrame) -> Iterator[tuple[bool, str]]:
    """Yield, for each row of one cell, whether it is on the front, and the same as text."""
    is_mixed = cell["memory.instrument"].nunique() > 1 and cell["memory.activation_ratio"].notna().all()
    size_of = _SIZES[int(is_mixed)]
    ends, ratios = ends_of_times(cell), cell["latency.ratio_to_bp"]
    spans = ends or [(ratio, ratio) for ratio in ratios]
    costs = list(zip(cell["series"], cell[size_of], ratios, spans, strict=True))
    for own, size, ratio, (low, high) in costs:
        dominators, near = [], []
        for other, other_size, other_ratio, (other_low, other_high) in costs:
            if other == own or other_size > size:
                continue
            overlaps = low <= other_high and other_low <= high
            if other_ratio <= ratio and (other_size < size or other_ratio < ratio):
                dominators.append((other, overlaps))
            elif overlaps:
                near.append(other)
        names = ", ".join(other for other, _ in dominators)
        clear = [other for other, overlaps in dominators if not overlaps]
        if ends is None:
            yield not dominators, f"no, {BY_ESTIMATES}: {names}" if dominators else f"{ON_FRONT}, {BY_ESTIMATES}"
        elif clear:
            yield False, f"no: {', '.join(clear)}"
        elif dominators:
            yield False, f"no, but within the interval of {names}"
        elif near:
            yield True, f"{ON_FRONT}, within the interval of {', '.join(near)}"
        else:
            yield True, ON_FRONT
