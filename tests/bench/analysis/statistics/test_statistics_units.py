"""Intervals over processes: coverage in simulations, and properties that hold for all samples."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.analysis.statistics.estimate import Estimate, independent_difference
from bench.analysis.statistics.units import estimate_over, log_ratios
from bench.errors import BenchError

Numbers = NDArray[np.float64]
BETWEEN, WITHIN = 0.03, 0.01
DRAWS = 600


def heavy_tailed(generator: np.random.Generator, size: int | tuple[int, int]) -> Numbers:
    drawn: Numbers = generator.standard_t(3, size) / math.sqrt(3)
    return drawn


SPREADS: dict[str, Callable[[np.random.Generator, int], Numbers]] = {
    "normal": lambda generator, count: BETWEEN * generator.standard_normal(count),
    "heavy tails": lambda generator, count: BETWEEN * heavy_tailed(generator, count),
    "none": lambda _, count: np.zeros(count),
    "two states": lambda generator, count: (
        0.1 * (generator.random(count) < 0.5) - 0.05 + WITHIN * heavy_tailed(generator, count)
    ),
}


def drawn(generator: np.random.Generator, spread: str, processes: int, blocks: int = 8) -> list[Numbers]:
    centres = SPREADS[spread](generator, processes)
    return [centre + WITHIN * heavy_tailed(generator, blocks) for centre in centres]


def coverage_and_width(spread: str, processes: int) -> tuple[float, float]:
    """The share of 95 % intervals that hold 0, the truth, and their median width."""
    intervals = []
    for seed in range(DRAWS):
        interval = estimate_over("processes", drawn(np.random.default_rng(seed), spread, processes)).interval()
        assert interval is not None
        intervals.append(interval)
    inside = sum(interval.low <= 0 <= interval.high for interval in intervals)
    return inside / DRAWS, float(np.median([interval.high - interval.low for interval in intervals]))


@pytest.mark.parametrize("processes", [3, 5, 10])
@pytest.mark.parametrize("spread", ["normal", "heavy tails", "none"])
def test_the_interval_covers_the_truth(spread: str, processes: int) -> None:
    coverage, width = coverage_and_width(spread, processes)
    assert coverage >= 0.93
    if spread == "normal" and processes == 5:
        known = 2 * 1.96 * math.hypot(BETWEEN, WITHIN / math.sqrt(8)) / math.sqrt(processes)
        assert width < 1.5 * known
    if spread == "none":
        assert width < 0.03


def test_two_states_that_half_the_processes_are_in_are_covered() -> None:
    assert coverage_and_width("two states", 5)[0] >= 0.90
    assert coverage_and_width("two states", 10)[0] >= 0.93


def test_a_hierarchical_bootstrap_of_five_processes_covers_less() -> None:
    """The percentile interval, which the interval over processes was preferred to."""
    inside = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        samples = np.array(drawn(generator, "normal", 5))
        processes = generator.integers(0, 5, (400, 5, 1))
        resampled = np.median(samples[processes, generator.integers(0, 8, (400, 5, 8))], axis=2).mean(axis=1)
        low, high = np.quantile(resampled, [0.025, 0.975])
        inside += low <= 0 <= high
    assert inside / 200 < 0.9


@pytest.mark.parametrize("blocks", [(1, 8, 8, 3, 20), (1, 1, 1, 1, 1)])
def test_processes_of_unequal_length_are_covered(blocks: tuple[int, ...]) -> None:
    inside = 0
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        sample = [BETWEEN * generator.standard_normal() + WITHIN * heavy_tailed(generator, count) for count in blocks]
        interval = estimate_over("processes", sample).interval()
        inside += interval is not None and interval.low <= 0 <= interval.high
    assert inside / DRAWS >= 0.93


def test_stalls_do_not_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    calm = drawn(generator, "none", 5, blocks=10)
    stalled = [sample.copy() for sample in calm]
    for sample in stalled:
        sample[3] += 2.0
    widths = []
    for samples in (calm, stalled):
        interval = estimate_over("processes", samples).interval()
        assert interval is not None
        widths.append(interval.high - interval.low)
    assert widths[1] < 2 * widths[0]


def test_the_spread_of_blocks_bounds_the_error_where_processes_agree_by_chance() -> None:
    blocks = np.array([-0.02, -0.01, 0.0, 0.01, 0.02])
    estimate = estimate_over("processes", [blocks, blocks, blocks])
    assert estimate.error is not None
    assert 0.002 < estimate.error < 0.01


def test_equal_blocks_still_have_a_width() -> None:
    interval = estimate_over("processes", [[0.1, 0.1]] * 5).interval()
    assert interval is not None
    assert interval.low < 0.1 < interval.high


def test_one_process_gives_no_interval() -> None:
    estimate = estimate_over("processes", [[0.1, 0.2, 0.3]])
    assert estimate.value == pytest.approx(0.2)
    assert estimate.error is estimate.interval() is estimate.p_value(0.1) is None
    assert estimate.basis == "1 process"


samples = st.lists(st.lists(st.floats(-2, 2, allow_subnormal=False), min_size=1, max_size=6), min_size=2, max_size=6)


@given(samples, st.randoms(use_true_random=False))
def test_order_of_blocks_and_processes_does_not_matter(sample: list[list[float]], shuffler: Random) -> None:
    estimate = estimate_over("processes", sample)
    mixed = [list(blocks) for blocks in sample]
    shuffler.shuffle(mixed)
    for blocks in mixed:
        shuffler.shuffle(blocks)
    other = estimate_over("processes", mixed)
    assert other.value == pytest.approx(estimate.value, abs=1e-12)
    assert other.error == pytest.approx(estimate.error, abs=1e-12)


@given(samples)
def test_swapped_methods_mirror_the_interval_which_is_never_empty(sample: list[list[float]]) -> None:
    interval = estimate_over("seeds", sample).interval()
    mirrored = estimate_over("seeds", [[-value for value in blocks] for blocks in sample]).interval()
    assert interval is not None
    assert mirrored is not None
    assert interval.low < interval.high
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-12)


@given(st.floats(1e-3, 1e3), st.integers(0, 99))
def test_the_unit_of_time_does_not_matter(scale: float, seed: int) -> None:
    generator = np.random.default_rng(seed)
    times = np.exp(0.1 * generator.standard_normal((2, 4, 6, 2)))
    one = estimate_over("processes", log_ratios(list(times[0]), list(times[1])))
    other = estimate_over("processes", log_ratios(list(scale * times[0]), list(scale * times[1])))
    assert (other.value, other.error) == pytest.approx((one.value, one.error))
    slower = estimate_over("processes", log_ratios(list(scale * times[0]), list(times[1])))
    assert slower.value == pytest.approx(one.value + math.log(scale))


def test_what_slows_a_whole_block_down_cancels() -> None:
    slow = np.array([1.0, 3.0, 1.0, 9.0])[:, None]
    (ratios,) = log_ratios([0.9 * slow * np.ones((4, 2))], [slow[:, 0]])
    assert ratios == pytest.approx(math.log(0.9))


@pytest.mark.parametrize(
    ("samples", "named"),
    [([], "empty"), ([[0.1], []], r"processes\[1\]"), ([[0.1], [math.nan]], r"processes\[1\]"), ([[[0.1]]], "shape")],
)
def test_illegal_samples_are_named(samples: list[list[float]], named: str) -> None:
    with pytest.raises(BenchError, match=named):
        estimate_over("processes", samples)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ([[1.0]], [[1.0], [1.0]], "1 and 2 processes"),
        ([[1.0, 2.0]], [[1.0]], "process 0: 2 and 1 blocks"),
        ([[1.0], [0.0]], [[1.0], [1.0]], "process 1"),
        ([[1.0], [math.inf]], [[1.0], [1.0]], "process 1"),
        ([[]], [[]], "process 0"),
    ],
)
def test_illegal_times_are_named(first: list[list[float]], second: list[list[float]], named: str) -> None:
    with pytest.raises(BenchError, match=named):
        log_ratios(first, second)


def test_a_ratio_of_ratios_of_two_files_is_covered() -> None:
    inside = 0
    for seed in range(DRAWS):
        generator = np.random.default_rng(seed)
        first, second = (estimate_over("processes", drawn(generator, "normal", count)) for count in (5, 10))
        interval = independent_difference(first, second).interval()
        inside += interval is not None and interval.low <= 0 <= interval.high
    assert 0.93 <= inside / DRAWS <= 0.98


def test_a_ratio_of_ratios_needs_both_errors() -> None:
    known = estimate_over("processes", [[0.1], [0.2], [0.3]])
    difference = independent_difference(known, estimate_over("processes", [[0.5]]))
    assert (difference.value, difference.error) == (pytest.approx(-0.3), None)
    assert difference.basis == "3 and 1 processes"


def test_welch_degrees_lie_between_the_smaller_and_the_sum() -> None:
    difference = independent_difference(Estimate(0, 1.0, 4.0), Estimate(0, 1.0, 9.0))
    assert difference.degrees is not None
    assert 4 < difference.degrees < 13


@pytest.mark.parametrize(
    "fields",
    [
        {"value": math.nan},
        {"value": 0.0, "error": 0.0, "degrees": 1.0},
        {"value": 0.0, "error": math.nan, "degrees": 1.0},
        {"value": 0.0, "error": 1.0},
        {"value": 0.0, "error": 1.0, "degrees": 0.0},
    ],
)
def test_illegal_estimates_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(BenchError, match="legal"):
        Estimate(**fields)  # type: ignore[arg-type]


@given(st.floats(-1, 1), st.floats(0.01, 1), st.integers(1, 30), st.floats(0.5, 0.999))
def test_an_interval_excludes_a_value_where_its_test_rejects_it(
    value: float, error: float, degrees: int, confidence: float
) -> None:
    estimate = Estimate(value, error, degrees)
    interval = estimate.interval(confidence)
    p_value = estimate.p_value(abs(value))
    assert interval is not None
    assert p_value is not None
    if abs(p_value - (1 - confidence)) > 1e-9:
        assert (p_value < 1 - confidence) == (not interval.low <= 0 <= interval.high)
