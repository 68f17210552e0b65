"""Information propagation: its rows."""

from collections.abc import Mapping
from typing import Any

from bench.config.methods.method import Method

_RATE = 0.1
_BATCH = 128


def _rate(values: Mapping[str, Any]) -> float:
    """The authors have 0.1 at batches of 128, and 0.8 at batches of 1024."""
    batch_size = values.get("batch_size")
    return _RATE * (batch_size if isinstance(batch_size, int) and batch_size >= 1 else _BATCH) / _BATCH


ROWS = (
    Method(
        name="infopro",
        summary="reconstruction of the image and cross-entropy at each stage, stages detached (arXiv 2101.10832)",
        rule="bench.train.rules.peers.infopro:train_with_cross_entropy",
        networks=("pipeline",),  # the modules of a cascade share one trunk and hand on no features
        presets={"head": "1c2f"},
        auxiliary="bench.train.rules.peers.infopro:decoders",
        uses_pixels=True,
        logits_by_module="bench.train.rules.without_beliefs:logits_by_module",
        predict="bench.train.rules.without_beliefs:predict",
        colour="#4d8a1f",
        order=29,
    ),
    Method(
        name="infopro-contrast",
        summary="reconstruction and a contrastive loss at each stage but the last, stages detached (arXiv 2101.10832)",
        rule="bench.train.rules.peers.infopro:train_with_contrast",
        networks=("pipeline",),
        presets={"head": "1c2f"},
        auxiliary="bench.train.rules.peers.infopro:decoders_and_projections",
        uses_pixels=True,
        not_in_parts="whose loss compares the samples of a batch",
        logits_by_module="bench.train.rules.bp_plain:logits_by_module",
        colour="#2f6f4f",
        order=61,
    ),
    Method(
        name="infopro-authors",
        summary="infopro-contrast with the authors' optimizer: SGD, rate 0.1 for 128 samples, decay 0.0001, cosine",
        alias_of="infopro-contrast",
        presets={"optimizer": "sgd", "learning_rate": _rate, "weight_decay": 1e-4, "schedule": "cosine"},
        colour="#5b8c5a",
        order=62,
    ),
)
