"""The summary: every method against BP at each network's largest configuration, and which configuration that is."""

import pandas as pd

from bench.analysis.frame import UNKNOWN, ordered_series
from bench.report.tables.measured import (
    NOT_MEASURED,
    difference_text,
    mean_text,
    mebibytes,
    paired_differences,
    ratio_text,
)


def summary_table(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Every method against BP at each network's largest configuration, and a sentence that says which those are.

    Cost is taken where depth, batch size, module count, hidden size, width and image are largest, in this order, among
    the cells that BP was measured on, too; accuracy in the configuration with the most records. An interval is a 95 %
    one. Columns without any number are left out.
    """
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    for network, part in frame.groupby("network", sort=True):
        costs = headline_costs(part)
        accuracies, rates = _headline_accuracies(part)
        if not costs.empty:
            first = costs.iloc[0]
            images = "" if first["image"] == UNKNOWN else f" {first['image']}"
            notes.append(
                f"{network}: memory and latency at depth {first['depth']}, {first['modules']} modules, hidden "
                f"{first['hidden']}, batch {first['batch_size']} on {first['dataset']}{images}"
                + ("" if first["cut"] == "even" else f", {first['cut']} cut")
            )
        if not accuracies.empty:
            first = accuracies.iloc[0]
            notes.append(
                f"{network}: accuracy on {first['dataset']} at depth {first['depth']}, {first['modules']} modules, "
                f"batch {first['batch_size']}, {first['optimizer']}, {first['epochs']} epochs, last epoch"
                + ("" if pd.isna(first["train_samples"]) else f", {first['train_samples']:g} samples")
            )
        rows += [
            {"network": str(network), "layout": str(part.iloc[0]["layout"]), "method": series}
            | _cost_cells(costs[costs["series"] == series])
            | _accuracy_cells(accuracies, series, rates)
            for series in ordered_series(pd.concat([costs, accuracies]))
        ]
    table = pd.DataFrame(rows).fillna(NOT_MEASURED)
    return table.loc[:, (table != NOT_MEASURED).any()], "; ".join(notes)


def headline_costs(part: pd.DataFrame) -> pd.DataFrame:
    """The rows of the largest configuration in ``part`` that has a BP row with memory or latency."""
    measured = part[(part["has_memory"] | part["has_latency"]) & (part["seed"] == part["seed"].min())]
    paired = measured[measured["pair"].isin(measured.loc[measured["is_baseline"], "pair"])]
    if paired.empty:
        return part.iloc[0:0]
    # Of equals, what is usual: even cuts and float32 come last, and a cell that is not compiled.
    keys = [
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
    ascending = [key not in ("cut", "compile") for key in keys]
    largest = paired.sort_values(keys, ascending=ascending).iloc[-1]
    headline: pd.DataFrame = paired[paired["pair"] == largest["pair"]]
    return headline


def _headline_accuracies(part: pd.DataFrame) -> tuple[pd.DataFrame, list[float]]:
    """The accuracy rows of the configuration with the most records, and its lowest and highest noise rate."""
    measured = part[part["has_accuracy"]]
    if measured.empty:
        return measured, []
    # Of equals the largest.
    keys = ["dataset", "depth", "modules", "width", "hidden", "batch_size", "optimizer", "learning_rate", "epochs"]
    counted = measured.assign(records=measured.groupby("configuration")["configuration"].transform("size"))
    best = counted.sort_values(["records", *keys, "pixels", "configuration"]).iloc[-1]
    chosen = measured[measured["configuration"] == best["configuration"]]
    rates = sorted({float(chosen["noise_rate"].min()), float(chosen["noise_rate"].max())})
    kinds = chosen.loc[chosen["noise_rate"] == rates[-1], "noise_kind"]
    return chosen[chosen["noise_kind"].isin(["none", kinds.iloc[0]])], rates


def _cost_cells(rows: pd.DataFrame) -> dict[str, str]:
    cells = {
        "peak activations, MiB": NOT_MEASURED,
        "activations / BP": NOT_MEASURED,
        "total memory / BP": NOT_MEASURED,
        "step latency / BP [95 %]": NOT_MEASURED,
    }
    memory = rows[rows["has_memory"]]
    if not memory.empty:
        row = memory.iloc[0]
        cells["peak activations, MiB"] = mebibytes(row["memory.peak_activation_bytes"])
        cells["activations / BP"] = f"{row['memory.activation_ratio']:.3f}"
        cells["total memory / BP"] = f"{row['memory.total_ratio']:.3f}"
    latency = rows[rows["has_latency"]]
    if not latency.empty:
        cells["step latency / BP [95 %]"] = ratio_text(latency.iloc[0])
    return cells


def _accuracy_cells(rows: pd.DataFrame, series: str, rates: list[float]) -> dict[str, str]:
    cells = {}
    for rate in rates:
        at_rate = rows[rows["noise_rate"] == rate] if not rows.empty else rows
        noise = f"noise {rate:g}" if rate else "clean"
        own = at_rate[at_rate["series"] == series]
        cells[f"test accuracy, {noise}, %"] = mean_text(own["accuracy.test_last"]) if len(own) else NOT_MEASURED
        cells[f"minus BP's, {noise}, points [95 %]"] = difference_text(paired_differences(at_rate, series))
    return cells
