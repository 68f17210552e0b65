"""The table of times that cannot be relied on."""

import pandas as pd

from bench.analysis.panels import cell_titles
from bench.report.tables.cells import in_order
from bench.report.tables.limit import Limited, limited
from bench.report.tables.text import latency_ratio, noisy_interval_text


def unreliable_table(frame: pd.DataFrame) -> Limited:
    """Return one row per time that cannot be relied on, of a step or of a prediction, with the reason."""
    parts = [
        frame[frame[f"has_{part}"] & frame[f"{part}.noisy_because"].notna()].assign(part=part)
        for part in ("latency", "inference")
        if not frame.empty and frame[f"has_{part}"].any()
    ]
    noisy = [part for part in parts if not part.empty]
    return limited(pd.concat([in_order(part) for part in noisy]), _table) if noisy else Limited(pd.DataFrame())


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    cells = [title.replace("\n", ", ") for title in cell_titles(rows)]
    return pd.DataFrame([_row(row, cell) for (_, row), cell in zip(rows.iterrows(), cells, strict=True)])


def _row(row: pd.Series, cell: str) -> dict[str, object]:
    if row["part"] == "latency":
        what, ratio = "step / BP", latency_ratio(row)
    else:
        processes = len(row["inference.blocks_by_process"])
        interval = row["inference.ratio_ci95"]
        what = "prediction / plain"
        ratio = noisy_interval_text(row["inference.ratio_to_plain"], interval, processes, None)
    return {
        "method": row["series"],
        "cell": cell,
        "time": what,
        "ratio [95 %]": ratio.removesuffix(" noisy"),
        "reason": row[f"{row['part']}.noisy_because"],
    }
