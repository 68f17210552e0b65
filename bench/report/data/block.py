"""The data block of the page: all records, compressed, and the file beside the page that holds the raw samples."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from bench.report.data.columns import Column
from bench.report.data.held import Held

MOST_INLINE = 500  # records whose raw samples the page itself holds

# Levels of compression. The slow one makes raw samples 10 % smaller, in seven times the time.
_SMALL = 9
_FAST = 4


def data_block(held: Held, raw_file: str | None) -> str:
    """Return the data of the page: base64 of the gzip of the block as JSON.

    The block is a dictionary with ``count``, the number of records; ``columns``, ``derived`` and ``raw``, columns by
    path (:mod:`bench.report.data.columns`), of which ``columns`` and ``raw`` together give back the records;
    ``raw_file``, and ``table`` (:func:`bench.report.data.described.described_table`).

    Args:
        held: the records.
        raw_file: the name of the file beside the page that has :func:`raw_script` of the raw samples; None: they stay
            in the page.
    """
    block: dict[str, Any] = {
        "count": held.count,
        "columns": held.columns,
        "derived": held.derived,
        "raw": held.raw if raw_file is None else None,
        "raw_file": raw_file,
        "table": held.table,
    }
    return encode(block)


def raw_script(raw: Mapping[str, Column]) -> str:
    """Return the content of the file beside the page that holds the columns ``raw``."""
    return f'sidBenchRaw("{encode(raw, _FAST)}");\n'


def encode(content: Mapping[str, Any], level: int = _SMALL) -> str:
    """Return ``content`` as base64 of the gzip of its JSON; equal contents give equal texts."""
    return base64.b64encode(gzip.compress(to_json(content), level, mtime=0)).decode()


def decode(text: str) -> Any:
    """Return the content of which :func:`encode` made ``text``."""
    return json.loads(gzip.decompress(base64.b64decode(text)))
