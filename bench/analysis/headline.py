"""The configuration that represents a network in the summary: its largest, and the one with the most accuracies."""

import pandas as pd

# Sizes in order of importance, then axes that break ties: even cuts, float32 and cells that are not compiled win.
_COST_KEYS = [
    "depth",
    "batch_size",
    "modules",
    "hidden",
    "width",
    "pixels",
    "network",
    "dataset",
    "cut",
    "precision",
    "compile",
]
_ACCURACY_KEYS = [
    "dataset",
    "depth",
    "modules",
    "width",
    "hidden",
    "batch_size",
    "optimizer",
    "learning_rate",
    "epochs",
    "pixels",
    "configuration",
]


def headline_costs(part: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the largest configuration in ``part`` for which BP has memory or latency; possibly empty."""
    measured = part[part["has_memory"] | part["has_latency"]]
    measured = measured[measured["seed"] == measured["seed"].min()]
    paired = measured[measured["pair"].isin(measured.loc[measured["is_baseline"], "pair"])]
    if paired.empty:
        return part.iloc[0:0]
    ascending = [key not in ("cut", "compile") for key in _COST_KEYS]
    largest = paired.sort_values(_COST_KEYS, ascending=ascending).iloc[-1]
    headline: pd.DataFrame = paired[paired["pair"] == largest["pair"]]
    return headline


def headline_accuracies(part: pd.DataFrame) -> tuple[pd.DataFrame, list[float]]:
    """Return the accuracy rows of the configuration with the most records, and its lowest and highest noise rate.

    Of configurations with equally many records, the largest is chosen. Without accuracies both are empty.
    """
    measured = part[part["has_accuracy"]]
    if measured.empty:
        return measured, []
    counted = measured.assign(records=measured.groupby("configuration")["configuration"].transform("size"))
    best = counted.sort_values(["records", *_ACCURACY_KEYS]).iloc[-1]
    chosen = measured[measured["configuration"] == best["configuration"]]
    rates = sorted({float(chosen["noise_rate"].min()), float(chosen["noise_rate"].max())})
    kinds = chosen.loc[chosen["noise_rate"] == rates[-1], "noise_kind"]
    return chosen[chosen["noise_kind"].isin(["none", kinds.iloc[0]])], rates


def most_compared_cells(rows: pd.DataFrame, per_network: int) -> pd.DataFrame:
    """Return the rows of up to ``per_network`` cells of each network, of the smallest seed.

    Cells with the most methods come first; of equals, the largest.
    """
    chosen = []
    for _, network in rows.groupby("network", sort=True):
        part = network[network["seed"] == network["seed"].min()]
        sizes = part.groupby("pair").agg(
            {"series": "nunique", "depth": "max", "batch_size": "max", "modules": "max", "hidden": "max"}
        )
        largest = sizes.sort_values(list(sizes.columns), ascending=False).index[:per_network]
        chosen += [part[part["pair"] == pair] for pair in largest]
    return pd.concat(chosen) if chosen else rows
