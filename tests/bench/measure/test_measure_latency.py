"""The latency pass: its statistics on synthetic blocks, and the order in which it runs the two steps."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.cell import make_cell
from bench.measure import latency
from bench.measure.latency import measure_latency, summarise
from bench.measure.step import build_step
from bench.record import Latency

Block = tuple[float, float, float, float]

RATIO = 1.05
BATCH = (torch.zeros(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))


def block(drift: Callable[[int], float], mirrored: bool = False, bp_seconds: float = 0.01) -> Block:
    """(step, BP, BP, step) where the leg at position 0 to 3 takes ``drift(position)`` times as long as it should."""
    own, baseline = RATIO * bp_seconds, bp_seconds
    if mirrored:  # run in the order BP, step, step, BP
        return own * drift(1), baseline * drift(0), baseline * drift(3), own * drift(2)
    return own * drift(0), baseline * drift(1), baseline * drift(2), own * drift(3)


def noisy_blocks(seed: int, ratio: float, count: int = 20) -> list[Block]:
    """Blocks with log-normal noise on each leg, a random level for each block and now and then a leg that stalls."""
    generator = np.random.default_rng(seed)
    level = 0.01 * np.exp(0.2 * generator.standard_normal((count, 1)))
    noise = np.exp(0.03 * generator.standard_normal((count, 4)))
    stalls = 1 + 2 * (generator.random((count, 4)) < 0.02)
    seconds = level * noise * stalls * np.array([ratio, 1, 1, ratio])
    return [(a, b, c, d) for a, b, c, d in seconds.tolist()]


def test_the_ratio_of_constant_legs_is_exact() -> None:
    summary = summarise([block(lambda _: 1)] * 10, loops=1, warm_up_steps=0, batch_size=1)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)
    assert summary.ratio_ci95 == pytest.approx((RATIO, RATIO), rel=1e-12)


@pytest.mark.parametrize("rate", [-0.2, 0.01, 0.5])
def test_drift_at_a_constant_rate_cancels_in_every_block(rate: float) -> None:
    summary = summarise(
        [block(lambda position: math.exp(rate * position))] * 10, loops=1, warm_up_steps=0, batch_size=1
    )
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


@pytest.mark.parametrize("slope", [-0.1, 0.01, 0.1])
def test_drift_linear_in_time_cancels_over_mirrored_blocks(slope: float) -> None:
    # In one block a term of second order is left (slope squared); the mirrored block has it with the other sign.
    blocks = [block(lambda position: 1 + slope * position, mirrored=index % 2 == 1) for index in range(10)]
    summary = summarise(blocks, loops=1, warm_up_steps=0, batch_size=1)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=1e-12)
    assert summary.ratio_ci95[0] <= RATIO <= summary.ratio_ci95[1]


@pytest.mark.parametrize("slope", [0.01, 0.1])
def test_drift_linear_in_time_leaves_less_than_its_square_in_plain_blocks(slope: float) -> None:
    summary = summarise([block(lambda position: 1 + slope * position)] * 10, loops=1, warm_up_steps=0, batch_size=1)
    assert summary.ratio_to_bp == pytest.approx(RATIO, rel=slope**2)


def test_blocks_of_different_speeds_count_alike() -> None:
    blocks = [block(lambda _: 1, bp_seconds=0.001 * 2**index) for index in range(10)]
    assert summarise(blocks, loops=1, warm_up_steps=0, batch_size=1).ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


def test_a_stalled_block_does_not_move_the_ratio() -> None:
    blocks = [block(lambda _: 1)] * 10
    blocks[4] = (1.0, 0.01, 0.01, 0.0105)
    assert summarise(blocks, loops=1, warm_up_steps=0, batch_size=1).ratio_to_bp == pytest.approx(RATIO, rel=1e-12)


def test_the_interval_contains_the_true_ratio_in_nine_of_ten_noisy_runs() -> None:
    hits = 0
    for seed in range(100):
        low, high = summarise(noisy_blocks(seed, RATIO), loops=1, warm_up_steps=0, batch_size=1).ratio_ci95
        hits += low <= RATIO <= high
    assert hits >= 90


def test_the_interval_of_a_against_a_contains_one() -> None:
    summary = summarise(noisy_blocks(0, 1.0, count=60), loops=1, warm_up_steps=0, batch_size=1)
    low, high = summary.ratio_ci95
    assert low < 1 < high
    assert high - low < 0.05
    assert low <= summary.ratio_to_bp <= high


def test_a_clear_difference_has_an_interval_without_one() -> None:
    low, high = summarise(noisy_blocks(0, 1.2, count=60), loops=1, warm_up_steps=0, batch_size=1).ratio_ci95
    assert 1.1 < low < high < 1.3


def test_the_summary_of_the_same_blocks_is_the_same() -> None:
    blocks = noisy_blocks(3, RATIO)
    assert summarise(blocks, 2, 5, 1) == summarise(blocks, 2, 5, 1)


def test_raw_samples_and_counts_are_kept() -> None:
    blocks = noisy_blocks(4, RATIO)
    summary = summarise(blocks, loops=7, warm_up_steps=30, batch_size=1)
    np.testing.assert_allclose(summary.blocks_seconds, blocks, rtol=0, atol=1e-9)
    assert (summary.loops, summary.warm_up_steps) == (7, 30)


def test_median_and_spread_are_those_of_each_leg() -> None:
    blocks = [(1.0, 10.0, 20.0, 2.0), (3.0, 30.0, 40.0, 4.0), (5.0, 50.0, 60.0, 6.0), (7.0, 70.0, 80.0, 8.0)]
    summary = summarise(blocks, loops=1, warm_up_steps=0, batch_size=1)
    assert (summary.median_seconds, summary.bp_median_seconds) == (4.5, 45.0)
    assert (summary.iqr_seconds, summary.bp_iqr_seconds) == (3.5, 35.0)  # 6.25 - 2.75, by linear interpolation


class FakeTime:
    """A clock that only fake steps move on, and the order in which they ran."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def step(self, name: str, seconds: float, first_calls: tuple[float, ...] = ()) -> Callable[..., None]:
        """A step of so many seconds, and other times in its first calls."""
        slow = list(first_calls)

        def run(_images: Tensor, _labels: Tensor) -> None:
            self.calls.append(name)
            self.now += slow.pop(0) if slow else seconds

        return run

    def blocks(self, measured: Latency) -> list[str]:
        """The order of the legs of each block, after the warm-up."""
        calls = self.calls[measured.warm_up_steps :]
        legs = [calls[start : start + measured.loops] for start in range(0, len(calls), measured.loops)]
        assert all(len(set(leg)) == 1 for leg in legs)
        order = "".join(leg[0] for leg in legs)
        return [order[start : start + 4] for start in range(0, len(order), 4)]


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTime]:
    clock = FakeTime()
    monkeypatch.setattr(latency, "perf_counter", lambda: clock.now)
    return clock


def run_fake(step: Any, baseline: Any, seconds: float) -> Latency:
    return measure_latency(step, baseline, *BATCH, seconds)


def test_blocks_are_abba_and_every_second_one_mirrored(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.001), seconds=1e-6)
    assert fake_time.blocks(measured) == ["ABBA", "BAAB"] * 5


def test_raw_samples_name_the_right_leg_in_mirrored_blocks(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.001), seconds=1e-6)
    np.testing.assert_allclose(measured.blocks_seconds, [(0.002, 0.001, 0.001, 0.002)] * 10, rtol=1e-6)
    assert measured.ratio_to_bp == pytest.approx(2)


def test_raw_samples_pair_the_legs_that_ran_next_to_each_other(fake_time: FakeTime) -> None:
    # Each call takes a microsecond longer than the one before, so that a sample tells when it was taken.
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


def test_a_leg_runs_its_step_until_it_takes_five_milliseconds(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.002), fake_time.step("B", 0.0011), seconds=1e-6)
    assert measured.loops == 5  # the faster of the two decides


def test_a_slow_step_runs_once_a_leg(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.5), fake_time.step("B", 0.25), seconds=1e-6)
    assert measured.loops == 1


def test_sampling_ends_when_the_time_is_up(fake_time: FakeTime) -> None:
    # A block takes 4 * 0.1 seconds: the one that begins before the end is finished.
    measured = run_fake(fake_time.step("A", 0.1), fake_time.step("B", 0.1), seconds=7.9)
    assert len(measured.blocks_seconds) == 20


def test_at_most_sixty_blocks_are_run(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.1), fake_time.step("B", 0.1), seconds=1e6)
    assert len(measured.blocks_seconds) == 60


def test_the_warm_up_runs_both_steps_apart_before_any_block(fake_time: FakeTime) -> None:
    measured = run_fake(fake_time.step("A", 0.01), fake_time.step("B", 0.02), seconds=1e-6)
    warm_up = fake_time.calls[: measured.warm_up_steps]
    # One step first, then doubled until two halves take 0.1 s: 2 * (1 + 2 + 4 + 8) more of A, 2 * (1 + 2 + 4) of B.
    assert [(name, len(list(run))) for name, run in groupby(warm_up)] == [("A", 31), ("B", 15)]


def test_slow_first_steps_stay_out_of_the_samples(fake_time: FakeTime) -> None:
    step = fake_time.step("A", 0.1, first_calls=(1.0, 0.5, 0.3))
    measured = run_fake(step, fake_time.step("B", 0.1), seconds=1e-6)
    assert max(max(seconds) for seconds in measured.blocks_seconds) == pytest.approx(0.1)


def test_real_steps_are_timed_and_their_weights_change() -> None:
    cell = make_cell({"method": "sid-streamed", "dataset": "random", "passes": ["latency"], "depth": 2, "hidden": 8})
    step, baseline = (build_step(cell, (1, 4, 4), 10, method) for method in (None, "bp"))
    weights = [network.state_dict()["trunk.1.weight"].clone() for network in (step.network, baseline.network)]
    assert torch.equal(*weights)  # the same network
    images, labels = torch.randn(8, 1, 4, 4), torch.randint(10, (8,))
    measured = measure_latency(step, baseline, images, labels, seconds=0.001)
    assert len(measured.blocks_seconds) == 10
    assert all(value > 0 for seconds in measured.blocks_seconds for value in seconds)
    assert measured.ratio_ci95[0] <= measured.ratio_to_bp <= measured.ratio_ci95[1]
    assert not torch.equal(step.network.state_dict()["trunk.1.weight"], weights[0])
    assert not torch.equal(baseline.network.state_dict()["trunk.1.weight"], weights[1])
    assert Latency.model_validate_json(measured.model_dump_json()) == measured


DENORMALS = """
import torch
from bench.environment import torch_environment
from bench.measure.step import flush_denormals
FLUSH
tiny = torch.full((1_000_000,), 1e-39)
print(torch.get_num_threads(), int((tiny * 1).count_nonzero()), torch_environment("cpu")["denormals_flushed"])
"""


@pytest.mark.parametrize(("flush", "printed"), [("flush_denormals()", "2 0 True"), ("", "2 1000000 False")])
def test_denormals_are_flushed_in_every_thread_and_the_environment_says_what_is_true(flush: str, printed: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DENORMALS.replace("FLUSH", flush)],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout.strip() == printed, ended.stderr
