"""The summary: the cells that represent each network, with the costs and the accuracy of every method on them."""

from typing import Any

import pandas as pd

from bench.analysis.differences import EPOCHS, SHARES, compared_with_bp
from bench.analysis.headline import SummaryCell, noise_names, summary_cells
from bench.report.tables.text import (
    BASELINE,
    NOT_MEASURED,
    by_instrument,
    latency_ratio,
    mean_percent,
    mebibytes,
    ratio,
    with_verdicts,
)

_NOTE = (
    "A row holds what was measured on one cell. The cells are the largest on which BP's costs were measured, the one "
    "with the most accuracies, and on the data and sizes of the latter the longest run, other optimizers and plain BP "
    "(one module), where they were measured"
)
_NOTE_ON_ONE_PROCESS = (
    "An interval of a latency from 1 process is one within that process, which leaves out how processes differ"
)
_NOTE_ON_ACCURACIES = (
    "Differences are from BP on the same cell, and those of plain BP from BP with all modules. They are paired by seed "
    "and test image, and verdicts are corrected for all differences in the table (Holm). An interval over seeds only, "
    "where records do not say which images were right, says nothing of other test images"
)


def summary_table(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return one row per cell and method, and a sentence on the choice of cells.

    :func:`bench.analysis.headline.summary_cells` says which cells represent a network. Accuracies are at the lowest and
    the highest noise rate of each cell, of one kind of noise. Columns without any number are left out.
    """
    cells = [cell for _, part in frame.groupby("network", sort=True) for cell in summary_cells(part)]
    if not cells:
        return pd.DataFrame(columns=["network", "layout", "cell", "method"]), "There is nothing to compare with BP"
    rates = noise_names(cells)
    rows = [
        {
            "network": str(cell.first["network"]),
            "layout": str(cell.first["layout"]),
            "cell": cell.text,
            "method": series,
        }
        | _cost_cells(cell.costs[cell.costs["series"] == series])
        | _accuracy_cells(cell, series, rates)
        for cell in cells
        for series in cell.series
    ]
    table = pd.DataFrame(with_verdicts(rows))
    notes = [_NOTE]
    if table["step latency / BP [95 %]"].str.contains("(1 process)", regex=False).any():
        notes.append(_NOTE_ON_ONE_PROCESS)
    if rates:
        notes.append(_NOTE_ON_ACCURACIES)
    return table.loc[:, ~table.isin([NOT_MEASURED, BASELINE]).all()], ". ".join(notes)


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
        cells["peak activations, MiB"] = by_instrument(mebibytes(row["memory.peak_activation_bytes"]), row)
        cells["activations / BP"] = by_instrument(ratio(row["memory.activation_ratio"]), row)
        cells["total memory / BP"] = by_instrument(ratio(row["memory.total_ratio"]), row)
    latency = rows[rows["has_latency"]]
    if not latency.empty:
        cells["step latency / BP [95 %]"] = latency_ratio(latency.iloc[0])
    return cells


def _accuracy_cells(cell: SummaryCell, series: str, rates: dict[float, str]) -> dict[str, Any]:
    """Return the columns of one method: per rate (with its name) and epoch the accuracy and its comparison with BP."""
    rows = cell.accuracies_of_one_kind
    columns: dict[str, Any] = {}
    for rate, name in rates.items():
        own = rows[(rows["noise_rate"] == rate) & (rows["series"] == series)]
        if own.empty:
            for where in (f"{name}, {epoch} epoch" for epoch in EPOCHS):
                columns |= {f"accuracy, {where}, %": NOT_MEASURED, f"minus BP's, {where}, points": NOT_MEASURED}
            continue
        baseline = cell.baseline[
            (cell.baseline["noise_rate"] == rate) & cell.baseline["noise_kind"].isin(own["noise_kind"])
        ]
        is_itself = own["is_baseline"].all() and own["group"].isin(baseline["group"]).all()
        for epoch in EPOCHS:
            where = f"{name}, {epoch} epoch"
            share, difference = f"accuracy, {where}, %", f"minus BP's, {where}, points"
            columns |= {share: NOT_MEASURED, difference: NOT_MEASURED}
            if own[SHARES[epoch]].notna().any():
                columns[share] = mean_percent(own[SHARES[epoch]])
                columns[difference] = BASELINE if is_itself else compared_with_bp(own, baseline, epoch)
    return columns
