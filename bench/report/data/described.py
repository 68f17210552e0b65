"""The columns that the table of all cells shows before a reader chooses others."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench.config.axes import axes
from bench.report.data.columns import Column

# Path, title, unit, kind. Axes of the cell stand after the series.
_FIRST = [("series", "method", "", "text")]
_RESULTS = [
    ("status", "status", "", "text"),
    ("memory.peak_activation_bytes", "peak activations", "bytes", "bytes"),
    ("memory.activation_ratio", "activations / BP", "", "ratio"),
    ("memory.peak_total_bytes", "peak total", "bytes", "bytes"),
    ("memory.total_ratio", "total / BP", "", "ratio"),
    ("latency.median_seconds", "step", "s", "seconds"),
    ("latency.ratio_to_bp", "step / BP", "", "ratio"),
    ("latency.ratio_low", "from", "", "ratio"),
    ("latency.ratio_high", "to", "", "ratio"),
    ("latency.process_count", "processes", "", "number"),
    ("latency.unreliable_because", "noisy because", "", "text"),
    ("accuracy.test_last", "test accuracy", "fraction", "number"),
    ("accuracy.difference", "minus BP's", "fraction", "number"),
    ("inference.peak_total_bytes", "prediction, total", "bytes", "bytes"),
    ("inference.ratio_to_plain", "prediction / plain", "", "ratio"),
    ("ranks.ratio_to_one_rank", "step / one rank's", "", "ratio"),
    ("message", "message", "", "text"),
    ("suite", "suite", "", "text"),
]
# Axes that are shown also where they are the same in all records; the series tells the rest of these.
_USUAL_AXES = ("network", "dataset", "depth", "modules", "batch_size")
_OF_SERIES = ("method", "passes", "latency_seconds")


def described_table(columns: Mapping[str, Column]) -> list[dict[str, str]]:
    """Return path, title, unit and kind of each column that the table shows at first.

    Axes are shown that differ between the records, and the usual ones; other columns where any record has a value.

    Args:
        columns: all that the table may show, derived ones included.
    """
    rows = [row for row in _FIRST if row[0] in columns]
    for name in axes():
        column = columns.get(f"cell.{name}")
        if column is None or name in _OF_SERIES:
            continue
        if name in _USUAL_AXES or _differs(column):
            kind = "number" if all(map(_is_number, _distinct(column))) else "text"
            rows.append((f"cell.{name}", name.replace("_", " "), "", kind))
    rows += [row for row in _RESULTS if row[0] in columns and _is_shown(row[0], columns[row[0]])]
    return [dict(zip(("path", "title", "unit", "kind"), row, strict=True)) for row in rows]


def _is_shown(path: str, column: Column) -> bool:
    if path in ("status", "suite"):
        return path == "status" or _differs(column)
    return any(value is not None for value in _distinct(column))


def _differs(column: Column) -> bool:
    return len(_distinct(column)) > 1


def _distinct(column: Column) -> list[Any]:
    values: Iterable[Any] = column["v"] if "v" in column else column["a"]
    return list(values)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
