"""The table of backbones in both layouts: as the trunk of a cascade (as published), and cut into stages."""

import pandas as pd

from bench.analysis.headline import headline_costs
from bench.analysis.panels import data_text, modules_text
from bench.analysis.series import ordered_series
from bench.config.networks import known_network
from bench.report.tables.text import ABSENT, by_instrument, latency_ratio, mebibytes, ratio


def layouts_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one row per backbone and method, with columns for both layouts; empty if no backbone has both.

    For each layout it shows the cell of the summary, provided that both have the same image size and batch size.
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
        shared = {"backbone": backbone, "data": data_text(first), "batch": first["batch_size"]}
        rows += [
            shared
            | {"method": method}
            | _cells(cascade, method, f"as trunk, {modules_text(first)}")
            | _cells(pipeline, method, f"in stages, {modules_text(other)}")
            for method in ordered_series(pd.concat([cascade, pipeline]))
        ]
    return pd.DataFrame(rows)


def _networks_by_backbone(frame: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return the networks in ``frame`` that have a backbone, by backbone and layout."""
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
    """Return the columns of ``method`` in one layout."""
    own = rows[rows["series"] == method]
    names = (f"{where}: activations, MiB", f"{where}: / BP", f"{where}: latency / BP [95 %]")
    if own.empty:
        return dict.fromkeys(names, ABSENT)
    row = own.iloc[0]
    latency = latency_ratio(row) if row["has_latency"] else ABSENT
    values = (
        by_instrument(mebibytes(row["memory.peak_activation_bytes"]), row),
        by_instrument(ratio(row["memory.activation_ratio"]), row),
        latency,
    )
    return dict(zip(names, values, strict=True))
