"""Benchmarks of the steps: a round is one interleaved block of the method and BP, so that drift cancels.

``pytest tests/benchmarks --benchmark-json=out.json`` writes the ratios and the exact bytes as ``extra_info``.
"""

import statistics
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import pytest
import torch

from bench.config.check import make_cell
from bench.measure.memory.measure import measure_memory
from bench.train.datasets.splits import load_splits
from bench.train.step import build_step, flush_denormals

ROUNDS = 10
WARM_UP_ROUNDS = 2


@pytest.fixture(autouse=True)
def flushed_denormals() -> Iterator[None]:
    flush_denormals()
    yield
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("depth", [4, 16])
@pytest.mark.parametrize("method", ["bp-checkpoint", "sid-published", "sid-streamed-autograd", "sid-streamed"])
def test_step_compared_with_bp(benchmark: Any, method: str, depth: int) -> None:
    cell = make_cell({"method": method, "dataset": "random", "depth": depth, "batch_size": 128, "passes": ["latency"]})
    data = load_splits(cell, None)
    images, labels = data.train.images[: cell.batch_size], data.train.labels[: cell.batch_size]
    own = build_step(cell, data.shape, data.classes)
    baseline = own.baseline()
    ratios: list[float] = []

    def block() -> None:
        seconds = []
        for step in (own, baseline, baseline, own):
            start = perf_counter()
            step(images, labels)
            seconds.append(perf_counter() - start)
        ratios.append((seconds[0] + seconds[3]) / (seconds[1] + seconds[2]))

    benchmark.pedantic(block, rounds=ROUNDS, warmup_rounds=WARM_UP_ROUNDS)
    measured = ratios[WARM_UP_ROUNDS:]
    own_bytes = measure_memory(own, images, labels).peak_activation_bytes
    bp_bytes = measure_memory(baseline, images, labels).peak_activation_bytes
    benchmark.extra_info |= {
        "ratio_to_bp": measured,
        "median_ratio_to_bp": statistics.median(measured),
        "peak_activation_bytes": own_bytes,
        "bp_peak_activation_bytes": bp_bytes,
    }
    assert len(measured) == ROUNDS
    assert (own_bytes > bp_bytes) == (method == "sid-published"), (
        "published SID needs more memory than BP, the others less"
    )
