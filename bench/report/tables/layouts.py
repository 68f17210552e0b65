"""One backbone in both layouts: as the trunk of a cascade, as published, and cut into stages that learn at once."""

import pandas as pd

from bench.analysis.frame import data_text, modules_text, ordered_series
from bench.config.networks import known_network
from bench.report.tables.measured import NOT_MEASURED, mebibytes, ratio_text
from bench.report.tables.summary import headline_costs


def layouts_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a backbone and method, with both layouts beside each other; empty where no backbone has both.

    Of each layout it is the cell that the summary shows, where both have images and batches of the same size.
    """
    rows = []
    for backbone, by_layout in _networks_by_backbone(frame).items():
        if len(by_layout) < 2:
            continue
        cascade, pipeline = (_headline(frame, by_layout[layout]) for layout in ("cascade", "pipeline"))
        if cascade.empty or pipeline.empty:
            continue
        first, other = cascade.iloc[0], pipeline.iloc[0]
        if (first["pixels"], first["batch_size"]) != (other["pixels"], other["batch_size"]):
            continue
        what = {"backbone": backbone, "data": data_text(first), "batch": first["batch_size"]}
        rows += [
            what
            | {"method": method}
            | _cells(cascade, method, f"as trunk, {modules_text(first)}")
            | _cells(pipeline, method, f"in stages, {modules_text(other)}")
            for method in ordered_series(pd.concat([cascade, pipeline]))
        ]
    return pd.DataFrame(rows)


def _networks_by_backbone(frame: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The networks in ``frame`` that have a backbone: by its name and their layout."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(frame["network"].unique()) if len(frame) else ():
        row = known_network(name)
        if row is not None and row.backbone is not None and row.layout is not None:
            found.setdefault(row.backbone, {})[row.layout] = name
    return found


def _headline(frame: pd.DataFrame, network: str) -> pd.DataFrame:
    rows = headline_costs(frame[frame["network"] == network])
    return rows[rows["has_memory"]]


def _cells(rows: pd.DataFrame, method: str, where: str) -> dict[str, str]:
    """What ``method`` costs in one layout."""
    own = rows[rows["series"] == method]
    names = (f"{where}: activations, MiB", f"{where}: / BP", f"{where}: latency / BP [95 %]")
    if own.empty:
        return dict.fromkeys(names, NOT_MEASURED)
    row = own.iloc[0]
    latency = ratio_text(row) if row["has_latency"] else NOT_MEASURED
    values = (mebibytes(row["memory.peak_activation_bytes"]), f"{row['memory.activation_ratio']:.3f}", latency)
    return dict(zip(names, values, strict=True))
