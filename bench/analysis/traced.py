"""The traced cells that the report shows."""

import pandas as pd

from bench.config.methods import BASELINE

_MOST_MODULES = 16  # more lanes are not readable in a figure


def traced_cells(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of one traced cell per network, one row per series.

    A cell that was traced with BP is preferred; of several, the one with the most modules up to 16, then the one with
    the most series. If several ranks were traced on another cell, the rows of that cell follow.
    """
    if frame.empty:
        return []
    traced = frame[frame["trace"].notna() & (frame["modules"] > 1)]
    chosen = []
    for _, part in traced.groupby("network", sort=True):
        several_ranks = part[part["pair"].isin(part.loc[part["ranks"] > 1, "pair"])]
        pairs = [_best_pair(candidates) for candidates in (part, several_ranks) if not candidates.empty]
        chosen += [part[part["pair"] == pair].drop_duplicates("series") for pair in dict.fromkeys(pairs)]
    return chosen


def _best_pair(rows: pd.DataFrame) -> str:
    def preference(group: pd.DataFrame) -> tuple[bool, int, int, int]:
        modules = int(group["modules"].iloc[0])
        has_bp = BASELINE in set(group["method"])
        shown = modules if modules <= _MOST_MODULES else -modules
        return has_bp, shown, group["series"].nunique(), int(group["batch_size"].iloc[0])

    narrow = rows[["pair", "modules", "method", "series", "batch_size"]]
    best = max(narrow.groupby("pair", sort=True), key=lambda item: preference(item[1]))
    return str(best[0])
