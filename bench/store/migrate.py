"""Brings records of earlier schemas up to the present one, so that old results files stay readable.

Schema 2 (from 1): memory by category, its timeline and the allocator's view, unknown in old records; the verdict,
throughput and processes of a latency; the number of attempts. Schema 3 (from 2): who computes when, and several
ranks, unknown in old records.
"""

from collections.abc import Callable
from typing import Any

from bench.store.record import SCHEMA

Content = dict[str, Any]


def migrate(content: Content) -> Content:
    """``content``, a record of schema 1 to :data:`bench.store.record.SCHEMA`, in the present schema; it stays as it is.

    Raises:
        KeyError, TypeError, AttributeError, ArithmeticError: the content is not what its schema promises.
    """
    while content["schema"] < SCHEMA:
        content = _STEPS[content["schema"]](content)
    return content


def _from_1(content: Content) -> Content:
    memory, latency = content["memory"], content["latency"]
    if memory is not None:
        memory = memory | {"at_peak": None, "timeline": None, "allocator": None}
        del memory["allocator_peak_activation_bytes"]
    if latency is not None:
        latency = latency | {
            "samples_per_second": content["cell"]["batch_size"] / latency["median_seconds"],
            "noisy_because": None,
            "shares": None,
            "blocks_by_process": [len(latency["blocks_seconds"])],
        }
    attempts = 0 if content["status"] == "skipped" else 1
    return content | {"schema": 2, "attempts": attempts, "memory": memory, "latency": latency}


def _from_2(content: Content) -> Content:
    return content | {"schema": 3, "trace": None, "ranks": None}


_STEPS: dict[int, Callable[[Content], Content]] = {1: _from_1, 2: _from_2}
