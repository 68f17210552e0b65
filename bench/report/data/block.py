"""The data block of the page: all records, compressed, and the file beside the page that holds the raw samples."""

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.report.data.columns import Column, columns_of
from bench.report.data.derived import derived_columns
from bench.report.data.described import described_table
from bench.report.inputs import Inputs

MOST_INLINE = 500  # records whose raw samples the page itself holds

# Samples, traces, and values by epoch, module or image: most of a record's bytes, which a reader wants of one cell.
_RAW = (
    "accuracy.beliefs_at_best_validation",
    "accuracy.beliefs_last",
    "accuracy.correct_at_best_validation",
    "accuracy.correct_last",
    "accuracy.epochs",
    "accuracy.kl_by_module",
    "accuracy.test_by_module",
    "inference.blocks_seconds",
    "inference.processes",
    "latency.blocks_seconds",
    "latency.processes",
    "memory.timeline",
    "ranks.one_rank_blocks_seconds",
    "trace",
)


@dataclass(frozen=True)
class DataBlock:
    """What the page holds of the records.

    Attributes:
        encoded: base64 of the gzip of the block as JSON; see :func:`data_block`.
        raw_script: the content of the file with the raw samples; None if ``encoded`` holds them.
    """

    encoded: str
    raw_script: str | None


def data_block(inputs: Inputs, raw_file: str | None) -> DataBlock:
    """Return the data of the page.

    The block is a dictionary with ``count``, the number of records; ``columns``, ``derived`` and ``raw``, columns by
    path (:mod:`bench.report.data.columns`), of which ``columns`` and ``raw`` together give back the records;
    ``raw_file``, and ``table`` (:func:`bench.report.data.described.described_table`).

    Args:
        inputs: the records.
        raw_file: the name of the file beside the page that will hold the raw samples; None: they stay in the page.
    """
    columns = columns_of([record.model_dump(mode="json", by_alias=True) for record in inputs.records])
    raw = {path: column for path, column in columns.items() if _is_raw(path)}
    light = {path: column for path, column in columns.items() if path not in raw}
    derived = derived_columns(inputs)
    block: dict[str, Any] = {
        "count": len(inputs.records),
        "columns": light,
        "derived": derived,
        "raw": raw if raw_file is None else None,
        "raw_file": raw_file,
        "table": described_table(light | derived),
    }
    return DataBlock(encode(block), None if raw_file is None else f'sidBenchRaw("{encode(raw)}");\n')


def encode(content: Mapping[str, Column] | Mapping[str, Any]) -> str:
    """Return ``content`` as base64 of the gzip of its JSON; equal contents give equal texts."""
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def decode(text: str) -> Any:
    """Return the content of which :func:`encode` made ``text``."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def _is_raw(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in _RAW)
