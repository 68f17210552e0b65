"""Migrates records of earlier schemas to the current one, so that old results files stay readable.

Schema 2 added memory by category, the memory timeline and the allocator's count (unknown in older records), the check
of reliability, throughput and processes of a latency, and the number of attempts. Schema 3 added traces and results of
several ranks (unknown in older records). Schema 4 added the layout of the network, what each process of a latency used
of the machine, which test images were predicted correctly, and validation labels with the noise of the training labels
(all unknown in older records). Validation labels were clean before, so what was measured on them, or chosen by them,
has another name in schema 4.

Some fields of schema 4 were added to it later. They are None where a record lacks them, which needs no step here.
"""

from collections.abc import Callable
from typing import Any

from bench.store.record import SCHEMA

Content = dict[str, Any]


def migrate(content: Content) -> Content:
    """Return ``content`` in the current schema, :data:`bench.store.record.SCHEMA`; ``content`` is not changed.

    Args:
        content: a record of any schema from 1 to the current one.

    Raises:
        KeyError, TypeError, AttributeError, ArithmeticError: ``content`` does not follow its schema.
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


def _from_3(content: Content) -> Content:
    accuracy = content["accuracy"]
    if accuracy is not None:
        cell = content["cell"]
        # Without noise, validation labels with the noise of the training labels are the clean ones.
        is_clean = cell["noise_kind"] == "none" or cell["noise_rate"] == 0
        accuracy = accuracy | {
            "test_at_best_validation": accuracy["test_at_best_validation"] if is_clean else None,
            "test_at_best_clean_validation": accuracy["test_at_best_validation"],
            "validation_last": accuracy["validation_last"] if is_clean else None,
            "validation_clean_last": accuracy["validation_last"],
            "realised_validation_noise_rate": 0.0 if is_clean else None,
            "correct_last": None,
            "correct_at_best_validation": None,
            "epochs": [
                epoch
                | {"validation": epoch["validation"] if is_clean else None, "validation_clean": epoch["validation"]}
                for epoch in accuracy["epochs"]
            ],
        }
    latency = content["latency"]
    if latency is not None:
        latency = latency | {"processes": None}
    return content | {"schema": 4, "layout": None, "latency": latency, "accuracy": accuracy}


_STEPS: dict[int, Callable[[Content], Content]] = {1: _from_1, 2: _from_2, 3: _from_3}
