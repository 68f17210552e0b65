"""The table of predictions: their bytes and times beside those of the plain network."""

import pandas as pd

from bench.analysis.panels import cell_titles
from bench.report.tables.cells import in_order
from bench.report.tables.limit import Limited, limited
from bench.report.tables.text import bytes_text, milliseconds, noisy_interval_text, ratio


def inference_table(frame: pd.DataFrame) -> Limited:
    """Return one row per cell with an inference pass."""
    if frame.empty or not frame["has_inference"].any():
        return Limited(pd.DataFrame())
    return limited(in_order(frame[frame["has_inference"]]), _table)


def _table(frame: pd.DataFrame) -> pd.DataFrame:
    rows = []
    cells = [title.replace("\n", ", ") for title in cell_titles(frame)]
    for cell, (_, row) in zip(cells, frame.iterrows(), strict=True):
        of = row.filter(like="inference.").rename(lambda name: name.removeprefix("inference."))
        rows.append(
            {
                "method": row["series"],
                "cell": cell,
                "peak activation bytes": bytes_text(of["peak_activation_bytes"]),
                "activations / plain": ratio(of["peak_activation_bytes"] / of["plain_peak_activation_bytes"]),
                "peak total bytes": bytes_text(of["peak_total_bytes"]),
                "total / plain": ratio(of["peak_total_bytes"] / of["plain_peak_total_bytes"]),
                "prediction, ms": milliseconds(of["median_seconds"]),
                "time / plain [95 %]": _time_ratio(of),
                "samples/s": f"{of['samples_per_second']:,.0f}",
            }
        )
    return pd.DataFrame(rows)


def _time_ratio(of: pd.Series) -> str:
    processes = len(of["blocks_by_process"])
    return noisy_interval_text(of["ratio_to_plain"], of["ratio_ci95"], processes, of["noisy_because"])
