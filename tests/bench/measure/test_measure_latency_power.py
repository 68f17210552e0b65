"""The latency pass on real steps: it detects a slowdown of 5 %, and no difference between BP and itself."""

import time
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.config.check import make_cell
from bench.measure.latency.measure import measure_latency
from bench.store.measurements.latency import Latency
from bench.train.step import TrainingStep, build_step, flush_denormals

RUNS = 10
NEEDED = 9
SECONDS = 2.0


@dataclass(frozen=True)
class Delayed:
    """A training rule followed by a delay."""

    rule: Any
    seconds: float

    def __call__(self, network: Any, images: Tensor, labels: Tensor, alpha: Any) -> Tensor:
        loss: Tensor = self.rule(network, images, labels, alpha)
        time.sleep(self.seconds)
        return loss


@pytest.fixture(scope="module")
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(128, 1, 28, 28, generator=generator)
    return images, torch.randint(10, (128,), generator=generator)


@pytest.fixture(autouse=True)
def flushed_denormals() -> Any:
    flush_denormals()
    yield
    torch.set_flush_denormal(False)


def bp_step() -> TrainingStep:
    cell = make_cell(
        {"method": "bp", "dataset": "random", "depth": 16, "hidden": 256, "batch_size": 128, "passes": ["latency"]}
    )
    return build_step(cell, (1, 28, 28), 10)


def measured(step: TrainingStep, baseline: TrainingStep, batch: tuple[Tensor, Tensor], is_baseline: bool) -> Latency:
    latency = measure_latency(step, baseline, *batch, SECONDS, is_baseline=is_baseline)
    low, high = latency.ratio_ci95
    print(f"{latency.ratio_to_bp:.3f} [{low:.3f}, {high:.3f}] {latency.noisy_because or ''}")
    return latency


@pytest.mark.slow
def test_the_interval_of_bp_compared_with_itself_contains_one(batch: tuple[Tensor, Tensor]) -> None:
    inside = 0
    for _ in range(RUNS):
        step = bp_step()
        low, high = measured(step, step, batch, is_baseline=True).ratio_ci95
        inside += low <= 1 <= high
    assert inside >= NEEDED


@pytest.mark.slow
def test_a_slowdown_of_five_percent_is_detected(batch: tuple[Tensor, Tensor]) -> None:
    told = 0
    for _ in range(RUNS):
        baseline = bp_step()
        usual = measure_latency(baseline, baseline, *batch, 0.5).median_seconds
        slower = replace(baseline, rule=Delayed(baseline.rule, 0.05 * usual))
        told += measured(slower, baseline, batch, is_baseline=False).ratio_ci95[0] > 1
    assert told >= NEEDED
