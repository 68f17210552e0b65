"""What the page says of each record besides what the record holds: columns of the records' paths in form."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bench.config.command import command_of
from bench.config.label import label
from bench.report.data.columns import Column, column_of
from bench.store.record import Record

# Columns of the frame, by their name on the page.
_FROM_FRAME = {
    "series": "series",
    "group": "pair",
    "memory.activation_ratio": "memory.activation_ratio",
    "memory.total_ratio": "memory.total_ratio",
    "memory.over_bound": "memory.over_bound",
    "latency.unreliable_because": "latency.noisy_because",
}


def derived_columns(records: Sequence[Record], frame: pd.DataFrame) -> dict[str, Column]:
    """Return the derived columns; None stands where a record has no such value.

    ``frame`` is the table of the records, :func:`bench.analysis.frame.records_frame`. The columns are:

    - ``label``: the cell on one line.
    - ``command``: for a shell, measures the cell again; see :func:`bench.config.command.command_of`.
    - ``series``: the line of figures that the record belongs to.
    - ``group``: a number that records share that are compared with each other: BP on a cell, and other methods on it.
    - ``memory.activation_ratio``, ``memory.total_ratio``: bytes divided by BP's on the same cell.
    - ``memory.over_bound``: bytes of activations divided by the lower bound of the rule.
    - ``latency.ratio_low``, ``latency.ratio_high``: the 95 % interval of the ratio; ``latency.process_count``: what it
      rests on; ``latency.unreliable_because``: why it cannot be relied on, BP's own noise included.
    - ``accuracy.difference``: the fraction of correct test images after the last epoch minus BP's with the same seed.
    """
    values: dict[str, Sequence[Any]] = {
        "label": [label(record.cell) for record in records],
        "command": [command_of(record.cell, f"results/{record.id}.jsonl") for record in records],
    }
    values |= {name: _plain(frame[column]) for name, column in _FROM_FRAME.items() if column in frame}
    values["group"] = pd.factorize(frame["pair"])[0].tolist()
    latencies = [record.latency for record in records]
    if any(latencies):
        of_latency: dict[str, Callable[[Any], Any]] = {
            "latency.ratio_low": lambda latency: latency.ratio_ci95[0],
            "latency.ratio_high": lambda latency: latency.ratio_ci95[1],
            "latency.process_count": lambda latency: len(latency.blocks_by_process),
        }
        for name, of in of_latency.items():
            values[name] = [None if latency is None else of(latency) for latency in latencies]
    if frame["has_accuracy"].any():
        values["accuracy.difference"] = _plain(_difference(frame))
    return {name: column_of(column) for name, column in values.items()}


def _difference(frame: pd.DataFrame) -> pd.Series:
    share = frame["accuracy.test_last"].astype(float)
    of_bp = frame[frame["is_baseline"] & frame["has_accuracy"]].drop_duplicates("pair").set_index("pair")
    difference: pd.Series = share - frame["pair"].map(of_bp["accuracy.test_last"].astype(float))
    return difference


def _plain(column: pd.Series) -> list[Any]:
    held = column.notna() & ~column.isin([math.inf, -math.inf])
    return column.astype(object).where(held, None).tolist()
