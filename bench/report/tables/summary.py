"""The summary: every method compared with BP on the largest configuration of each network."""

from typing import Any

import pandas as pd

from bench.analysis.differences import compared_with_bp
from bench.analysis.frame import UNKNOWN
from bench.analysis.headline import headline_accuracies, headline_costs
from bench.analysis.series import ordered_series
from bench.report.tables.text import (
    BASELINE,
    NOT_MEASURED,
    latency_ratio,
    mean_percent,
    mebibytes,
    ratio,
    with_verdicts,
)


def summary_table(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return one row per network and method, and a sentence that names the configurations.

    Costs are those of the cell with the largest depth, batch size, number of modules, hidden size, width and image, in
    this order, among the cells on which BP was measured, too. Accuracies are those of the configuration with the most
    records. Intervals are 95 % intervals. Columns without any number are left out.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for network, part in frame.groupby("network", sort=True):
        costs = headline_costs(part)
        accuracies, rates = headline_accuracies(part)
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
    if not rows:
        return pd.DataFrame(columns=["network", "layout", "method"]), "There is nothing to compare with BP"
    table = pd.DataFrame(with_verdicts(rows)).fillna(NOT_MEASURED)
    return table.loc[:, (table != NOT_MEASURED).any()], "; ".join(notes)


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
        cells["activations / BP"] = ratio(row["memory.activation_ratio"])
        cells["total memory / BP"] = ratio(row["memory.total_ratio"])
    latency = rows[rows["has_latency"]]
    if not latency.empty:
        cells["step latency / BP [95 %]"] = latency_ratio(latency.iloc[0])
    return cells


def _accuracy_cells(rows: pd.DataFrame, series: str, rates: list[float]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for rate in rates:
        at_rate = rows[rows["noise_rate"] == rate] if not rows.empty else rows
        noise = f"noise {rate:g}" if rate else "clean"
        own = at_rate[at_rate["series"] == series]
        cells[f"test accuracy, {noise}, %"] = mean_percent(own["accuracy.test_last"]) if len(own) else NOT_MEASURED
        is_baseline = len(own) > 0 and own["is_baseline"].all()
        cells[f"minus BP's, {noise}, points"] = (
            BASELINE if is_baseline else compared_with_bp(at_rate, series, "last") if len(own) else NOT_MEASURED
        )
    return cells
