"""The latency pass: its statistics on synthetic blocks, and the order of the two steps."""

import gc
import json
import math
import os
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.analysis.latency import summarise as summarise_samples
from bench.config.check import make_cell
from bench.measure.latency.measure import measure_latency, sample_latency
from bench.store.measurements.latency import Latency
from bench.store.sample import Sample
from bench.train.rules.bp import train_end_to_end
from bench.train.step import build_step

Block = tuple[float, float, float, float]

RATIO = 1.05
BATCH = (torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))


def summarise(blocks: list[Block], loops: int = 1, warm_up_steps: int = 0, batch_size: int = 1) -> Latency:
    """Return the latency of one process."""
    return summarise_samples([Sample(blocks_seconds=blocks, loops=loops, warm_up_steps=warm_up_steps)], batch_size)


def block(drift: Callable[[int], float], mirrored: bool = False, bp_seconds: float = 0.01) -> Block:
    """Return a block (step, BP, BP, step) in which the time at position 0 to 3 is multiplied by ``drift(position)``."""
    own, baseline = RATIO * bp_seconds, bp_seconds
    if mirrored:  # order BP, step, step, BP
        return own * drift(1), baseline * drift(0), baseline * drift(3), own * drift(2)
    return own * drift(0), baseline * drift(1), baseline * drift(2), own * drift(3)


def noisy_blocks(seed: int, ratio: float, count: int = 20) -> list[Block]:
    """Return blocks with log-normal noise on each time, a random level per block, and occasional stalls."""
    generator = np.random.default_rng(seed)
    level = 0.01 * np.exp(0.2 * generator.standard_normal((count, 1)))
    noise = np.exp(0.03 * generator.standard_normal((count, 4)))
    stalls = 1 + 2 * (generator.random((count, 4)) < 0.02)
    seconds = level * noise * stalls * np.array([ratio, 1, 1, ratio])
    return [(a, b, c, d) for a, b, c, d in seconds.tolist()]


def test_the_ratio_of_constant_times_is_exact() -> None:
    summary = summarise([block(lambda _: 1)] * 10)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)
    assert summary.ratio_ci95 == pytest.approx((RATIO, RATIO), rel=1e-12)


@pytest.mark.parametrize("rate", [-0.2, 0.01, 0.5])
def test_exponential_drift_cancels_in_every_block(rate: float) -> None:
    summary = summarise([block(lambda position: math.exp(rate * position))] * 10)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


@pytest.mark.parametrize("slope", [-0.1, 0.01, 0.1])
def test_linear_drift_cancels_over_mirrored_blocks(slope: float) -> None:
    # A block leaves a term of second order in the slope; the mirrored block has it with the opposite sign.
    blocks = [block(lambda position: 1 + slope * position, mirrored=index % 2 == 1) for index in range(10)]
    summary = summarise(blocks)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)
    assert summary.ratio_ci95[0] <= RATIO <= summary.ratio_ci95[1]


@pytest.mark.parametrize("slope", [0.01, 0.1])
def test_linear_drift_in_plain_blocks_leaves_an_error_of_second_order(slope: float) -> None:
    summary = summarise([block(lambda position: 1 + slope * position)] * 10)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=slope**2)


def test_fast_and_slow_blocks_have_equal_weight() -> None:
    blocks = [block(lambda _: 1, bp_seconds=0.001 * 2**index) for index in range(10)]
    assert summarise(blocks).ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


def test_a_stalled_block_does_not_change_the_ratio() -> None:
    blocks = [block(lambda _: 1)] * 10
    blocks[4] = (1.0, 0.01, 0.01, 0.0105)
    assert summarise(blocks).ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


def test_the_interval_contains_the_true_ratio_in_nine_of_ten_noisy_runs() -> None:
    hits = 0
    for seed in range(100):
        low, high = summarise(noisy_blocks(seed, RATIO)).ratio_ci95
        hits += low <= RATIO <= high
    assert hits >= 90


def test_the_interval_of_a_step_compared_with_itself_contains_one() -> None:
    summary = summarise(noisy_blocks(0, 1.0, count=60))
    low, high = summary.ratio_ci95
    assert low < 1 < high
    assert high - low < 0.05
    assert low <= summary.ratio_to_bp <= high


def test_a_clear_difference_has_an_interval_without_one() -> None:
    low, high = summarise(noisy_blocks(0, 1.2, count=60)).ratio_ci95
    assert 1.1 < low < high < 1.3


def test_equal_blocks_give_equal_summaries() -> None:
    blocks = noisy_blocks(3, RATIO)
    assert summarise(blocks, 2, 5, 1) == summarise(blocks, 2, 5, 1)


def test_raw_samples_and_counts_are_kept() -> None:
    blocks = noisy_blocks(4, RATIO)
    summary = summarise(blocks, loops=7, warm_up_steps=30, batch_size=1)
    np.testing.assert_allclose(summary.blocks_seconds, blocks, rtol=0, atol=1e-9)
    assert (summary.loops, summary.warm_up_steps) == (7, 30)


def test_median_and_interquartile_range_are_computed_per_step() -> None:
    blocks = [(1.0, 10.0, 20.0, 2.0), (3.0, 30.0, 40.0, 4.0), (5.0, 50.0, 60.0, 6.0), (7.0, 70.0, 80.0, 8.0)]
    summary = summarise(blocks)
    assert (summary.median_seconds, summary.bp_median_seconds) == (4.5, 45.0)
    assert (summary.iqr_seconds, summary.bp_iqr_seconds) == (3.5, 35.0)  # 6.25 - 2.75, by linear interpolation


class FakeTime:
    """A clock that only fake steps advance, and the order in which they ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def step(self, name: str, seconds: float, first_calls: tuple[float, ...] = ()) -> Callable[..., None]:
        """Return a step that takes ``seconds``, except for its first calls."""
        slow = list(first_calls)

        def run(_images: Tensor, _labels: Tensor) -> None:
            self.calls.append(name)
            self.now += slow.pop(0) if slow else seconds

        return run

    def blocks(self, measured: Sample) -> list[str]:
        """Return the order of the steps of each block, after the warm-up."""
        calls = self.calls[measured.warm_up_steps :]
        legs = [calls[start : start + measured.loops] for start in range(0, len(calls), measured.loops)]
        assert all(len(set(leg)) == 1 for leg in legs)
        order = "".join(leg[0] for leg in legs)
        return [order[start : start + 4] for start in range(0, len(order), 4)]


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTime]:
    clock = FakeTime()
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # so that nothing is probed
    return clock


def run_fake(step: Any, baseline: Any, seconds: float, loops: int | None = None) -> Sample:
    return sample_latency(step, baseline, *BATCH, seconds, loops)


def test_blocks_are_abba_and_every_second_block_is_mirrored(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.001), seconds=1e-6)
    assert fake_time.blocks(measured) == ["ABBA", "BAAB"] * 5


def test_raw_samples_of_mirrored_blocks_are_reordered(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.001), seconds=1e-6)
    np.testing.assert_allclose(measured.blocks_seconds, [(0.002, 0.001, 0.001, 0.002)] * 10, rtol=1e-6)
    assert summarise_samples([measured], batch_size=1).ratio_to_bp == pytest.approx(2)


def test_raw_samples_pair_steps_that_ran_consecutively(fake_time: FakeTime) -> None:
    # Each call takes a microsecond longer than the previous one, so that a sample shows when it was taken.
    def step(name: str) -> Callable[..., None]:
        def run(_images: Tensor, _labels: Tensor) -> None:
            fake_time.calls.append(name)
            fake_time.now += 0.1 + 1e-6 * len(fake_time.calls)

        return run

    measured = run_fake(step("A"), step("B"), seconds=1e-6)
    assert measured.loops == 1
    first = measured.warm_up_steps + 1
    for index, seconds in enumerate(measured.blocks_seconds):
        positions = [round((value - 0.1) / 1e-6) - first - 4 * index for value in seconds]
        assert positions == ([1, 0, 3, 2] if index % 2 else [0, 1, 2, 3])


def test_a_fast_step_is_repeated_for_five_milliseconds(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.0011), seconds=1e-6)
    assert measured.loops == 5  # determined by the faster step


def test_a_slow_step_runs_once_per_sample(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.5), fake_time.step("B", 0.25), seconds=1e-6)
    assert measured.loops == 1


def test_sampling_ends_after_the_given_seconds(fake_time: FakeTime) -> None:
    # A block takes 4 * 0.1 seconds; a block that begins before the end is completed.
    measured = run_fake(fake_time.step("A", 0.1), fake_time.step("B", 0.1), seconds=7.9)
    assert len(measured.blocks_seconds) == 20


def test_at_most_sixty_blocks_are_run(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.1), fake_time.step("B", 0.1), seconds=1e6)
    assert len(measured.blocks_seconds) == 60


def test_the_warm_up_runs_the_steps_separately_before_any_block(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.01), fake_time.step("B", 0.02), seconds=1e-6)
    warm_up = fake_time.calls[: measured.warm_up_steps]
    # One step first, then doubled until two halves take 0.1 s: 2 * (1 + 2 + 4 + 8) more of A, 2 * (1 + 2 + 4) of B.
    assert [(name, len(list(run))) for name, run in groupby(warm_up)] == [("A", 31), ("B", 15)]


def test_slow_first_steps_are_not_sampled(fake_time: FakeTime) -> None:
    step = fake_time.step("A", 0.1, first_calls=(1.0, 0.5, 0.3))
    measured = run_fake(step, fake_time.step("B", 0.1), seconds=1e-6)
    assert max(max(seconds) for seconds in measured.blocks_seconds) == pytest.approx(0.1)


def test_blocks_come_in_pairs(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.1), fake_time.step("B", 0.1), seconds=8.1)
    assert len(measured.blocks_seconds) == 22  # the time is up in the middle of the eleventh pair
    order = "".join(fake_time.blocks(measured))
    assert order.count("A") == order.count("B")


def test_steps_that_take_seconds_get_fewer_blocks_in_a_minute(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 2.0), fake_time.step("B", 2.0), seconds=1.0)
    assert len(measured.blocks_seconds) == 8  # 8 seconds each
    fewest = run_fake(fake_time.step("A", 20.0), fake_time.step("B", 20.0), seconds=1.0)
    assert len(fewest.blocks_seconds) == 4
    because = summarise_samples([fewest], batch_size=1).noisy_because
    assert because == "only 4 blocks ran, fewer than 10"


def test_a_later_process_runs_as_many_steps_per_sample_as_the_first(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.001), seconds=1e-6, loops=3)
    assert measured.loops == 3
    assert fake_time.blocks(measured) == ["ABBA", "BAAB"] * 5


def test_a_coarse_clock_increases_the_steps_per_sample(fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = types.SimpleNamespace(resolution=1e-4)
    monkeypatch.setattr(time, "get_clock_info", lambda _name: coarse)
    measured = run_fake(fake_time.step("A", 0.01), fake_time.step("B", 0.01), seconds=1e-6)
    assert measured.loops == 10  # takes 0.1 s, of which the resolution is 0.1 %


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_collected_before_and_between_blocks_only(enabled: bool) -> None:
    seen: list[tuple[bool, int]] = []
    collections: list[int] = []

    def step(_images: Tensor, _labels: Tensor) -> None:
        seen.append((gc.isenabled(), len(collections)))
        time.sleep(0.006)

    def count(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            collections.append(len(seen))

    was_enabled = gc.isenabled()
    gc.callbacks.append(count)
    try:
        (gc.enable if enabled else gc.disable)()
        measured = run_fake(step, step, seconds=1e-6)
        assert gc.isenabled() == enabled
    finally:
        gc.callbacks.remove(count)
        (gc.enable if was_enabled else gc.disable)()
    in_blocks = seen[measured.warm_up_steps :]
    assert not any(is_enabled for is_enabled, _ in in_blocks)
    legs_of_a_block = 4 * measured.loops
    for start in range(0, len(in_blocks), legs_of_a_block):
        assert len({before for _, before in in_blocks[start : start + legs_of_a_block]}) == 1


def test_reference_cycles_of_a_block_are_freed(fake_time: FakeTime) -> None:
    class Node:
        def __init__(self) -> None:
            self.itself = self

    alive: list[weakref.ref[Node]] = []

    def step(_images: Tensor, _labels: Tensor) -> None:
        fake_time.now += 0.1
        alive.append(weakref.ref(Node()))

    run_fake(step, step, seconds=1e-6)
    assert not any(reference() for reference in alive)


def test_the_blocks_of_all_processes_are_kept_and_counted() -> None:
    samples = [
        Sample(blocks_seconds=noisy_blocks(seed, RATIO, count), loops=3, warm_up_steps=10)
        for seed, count in enumerate((10, 12, 14))
    ]
    summary = summarise_samples(samples, batch_size=50)
    assert summary.blocks_by_process == [10, 12, 14]
    assert len(summary.blocks_seconds) == 36
    np.testing.assert_allclose(summary.blocks_seconds[10], samples[1].blocks_seconds[0], rtol=0, atol=1e-9)
    assert (summary.loops, summary.warm_up_steps) == (3, 30)
    assert summary.samples_per_second == pytest.approx(50 / summary.median_seconds)


def test_a_sample_can_be_encoded_as_json() -> None:
    sample = Sample(blocks_seconds=noisy_blocks(0, RATIO), loops=3, warm_up_steps=10)
    assert Sample.model_validate(json.loads(json.dumps(sample.model_dump(mode="json")))) == sample


def test_real_steps_are_timed_on_one_network() -> None:
    cell = make_cell({"method": "sid-streamed", "dataset": "random", "passes": ["latency"], "depth": 2, "hidden": 8})
    step = build_step(cell, (1, 4, 4), 10)
    baseline = step.baseline()
    assert baseline.network is step.network
    assert baseline.optimizer is step.optimizer
    assert baseline.rule is train_end_to_end
    weights = step.network.state_dict()["trunk.1.weight"].clone()
    images, labels = torch.randn(8, 1, 4, 4), torch.randint(10, (8,))
    measured = measure_latency(step, baseline, images, labels, seconds=0.001)
    assert len(measured.blocks_seconds) == 10
    assert all(value > 0 for seconds in measured.blocks_seconds for value in seconds)
    assert measured.ratio_ci95[0] <= measured.ratio_to_bp <= measured.ratio_ci95[1]
    assert not torch.equal(step.network.state_dict()["trunk.1.weight"], weights)
    assert measured.shares is not None
    assert Latency.model_validate_json(measured.model_dump_json()) == measured


DENORMALS = """
import torch
from bench.machine.environment import torch_environment
from bench.train.step import flush_denormals
FLUSH
tiny = torch.full((1_000_000,), 1e-39)
print(torch.get_num_threads(), int((tiny * 1).count_nonzero()), torch_environment("cpu")["denormals_flushed"])
"""


@pytest.mark.parametrize(("flush", "printed"), [("flush_denormals()", "2 0 True"), ("", "2 1000000 False")])
@pytest.mark.long
def test_denormals_are_flushed_in_every_thread_and_the_environment_records_it(flush: str, printed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DENORMALS.replace("FLUSH", flush)],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == printed, ended.stderr
