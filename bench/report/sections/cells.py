"""The section ``cells``: what stands there without the script, which replaces it with a table of all records."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.data.columns import values_of
from bench.report.inputs import Inputs

_MOST_ROWS = 50  # records that the page lists without the script


@dataclass(frozen=True)
class Cells:
    """The content of the section.

    Attributes:
        count: the number of records.
        files: the names of the results files.
        plain: the table without the script; None of more than 50 records.
    """

    count: int
    files: tuple[str, ...]
    plain: pd.DataFrame | None


def cells(inputs: Inputs) -> Cells:
    """Return the content of the section."""
    count = len(inputs.records)
    plain = _plain_table(inputs) if count <= _MOST_ROWS else None
    return Cells(count, tuple(file.name for file in inputs.files), plain)


def _plain_table(inputs: Inputs) -> pd.DataFrame:
    columns = inputs.held.columns | inputs.held.derived
    table: dict[str, list[str]] = {}
    for column in inputs.held.table:
        unit = f", {column['unit']}" if column["unit"] else ""
        texts = ["\N{EN DASH}"] * inputs.held.count
        for number, value in values_of(columns[column["path"]]):
            if value is not None:
                texts[number] = _TEXTS[column["kind"]](value)
        table[column["title"] + unit] = texts
    return pd.DataFrame(table | {"id": [record.id for record in inputs.records]})


def _as_text(value: Any) -> str:
    return ":".join(map(_as_text, value)) if isinstance(value, list) else str(value)


_TEXTS: dict[str, Callable[[Any], str]] = {
    "text": _as_text,
    "number": lambda value: f"{value:.6g}" if isinstance(value, float) else str(value),
    "bytes": "{:,}".format,
    "ratio": "{:.3f}".format,
    "seconds": "{:.4g}".format,
}
