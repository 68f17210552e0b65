"""Accuracies and their differences over seeds and images: coverage in simulations, and properties."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.statistics.accuracies import Predictions, accuracy, accuracy_difference
from bench.errors import BenchError

DRAWS = 300


def predictions(correct: NDArray[np.bool_], seeds: tuple[int, ...] | None = None) -> Predictions:
    return Predictions(tuple(range(len(correct))) if seeds is None else seeds, correct)


def simulated(
    generator: np.random.Generator, seeds: int, images: int, easy: float, by_seed: float, by_image: float, gain: float
) -> tuple[Predictions, Predictions]:
    """Two methods whose seeds and images differ in how easy they are; both see the same of either.

    Args:
        generator: of the draws.
        seeds: their number.
        images: their number.
        easy: mean easiness of an image; 5 gives an accuracy of 0.99.
        by_seed: standard deviation of what a seed gives one method.
        by_image: standard deviation of what an image gives one method.
        gain: what the first method has more.
    """
    easiness = easy + 2 * generator.standard_normal(images) + 0.2 * generator.standard_normal((seeds, 1))
    easiness = easiness + 0.7 * generator.standard_normal((seeds, images))
    right = []
    for own in (gain, 0.0):
        score = easiness + own + by_seed * generator.standard_normal((seeds, 1))
        score = score + by_image * generator.standard_normal(images) + 0.7 * generator.standard_normal((seeds, images))
        right.append(predictions(score > 0))
    return right[0], right[1]


WORLDS = {
    "images differ": (5.0, 0.05, 0.5, 0.3),
    "seeds differ": (3.0, 0.5, 0.0, 0.2),
    "both differ": (4.0, 0.3, 0.7, 0.0),
    "nothing but chance": (1.0, 0.0, 0.0, 0.1),
    "nearly all is right": (8.0, 0.1, 0.3, 0.2),
}


@pytest.mark.long
@pytest.mark.parametrize(("seeds", "images"), [(5, 360), (20, 360), (20, 1000)])
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_cover_the_truth(world: str, seeds: int, images: int) -> None:
    easy, by_seed, by_image, gain = WORLDS[world]
    spread = math.sqrt(2**2 + 0.2**2 + 2 * 0.7**2 + by_seed**2 + by_image**2)
    true_first, true_second = (float(stats.norm.cdf((easy + own) / spread)) for own in (gain, 0))
    truth = true_first - true_second
    inside = inside_alone = 0
    for seed in range(DRAWS):
        first, second = simulated(np.random.default_rng(seed), seeds, images, *WORLDS[world])
        interval = accuracy_difference(first, second).interval()
        alone = accuracy(first).interval
        assert interval is not None
        assert alone is not None
        inside += interval.low <= truth <= interval.high
        inside_alone += alone.low <= true_first <= alone.high
    assert inside / DRAWS >= 0.93
    assert inside_alone / DRAWS >= 0.91


# As uncertain as digits: with 20 seeds and 360 images, 95 % intervals reach 0.7 points to either side. BP has 96 %.
AS_DIGITS = (4.0, 0.1, 0.3)
GAIN_OF_1_5_POINTS = 0.492


def test_the_gain_is_one_and_a_half_points() -> None:
    easy, by_seed, by_image = AS_DIGITS
    spread = math.sqrt(2**2 + 0.2**2 + 2 * 0.7**2 + by_seed**2 + by_image**2)
    with_gain, without = stats.norm.cdf((easy + np.array([GAIN_OF_1_5_POINTS, 0])) / spread)
    assert with_gain - without == pytest.approx(0.015, abs=1e-4)


@pytest.mark.parametrize(
    ("gain", "fewest", "most"), [(GAIN_OF_1_5_POINTS, 80, 100), (-GAIN_OF_1_5_POINTS, 80, 100), (0.0, 0, 5)]
)
def test_ten_seeds_of_360_images_find_one_and_a_half_points_and_nothing_where_there_is_nothing(
    gain: float, fewest: int, most: int
) -> None:
    found = 0
    for seed in range(100):
        first, second = simulated(np.random.default_rng(seed), 10, 360, *AS_DIGITS, abs(gain))
        interval = accuracy_difference(*((second, first) if gain < 0 else (first, second))).interval()
        assert interval is not None
        found += (interval.low > 0 and gain >= 0) or (interval.high < 0 and gain <= 0)
    assert fewest <= found <= most


def pigeonhole_error(first: Predictions, second: Predictions, resamples: int = 4000) -> float:
    """The standard error by the bootstrap that draws seeds and images with replacement (Owen, 2007)."""
    generator = np.random.default_rng(0)
    difference = first.correct.astype(float) - second.correct
    seeds, images = difference.shape
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    of_images = generator.multinomial(images, np.full(images, 1 / images), resamples) / images
    return float(np.einsum("rs,si,ri->r", of_seeds, difference, of_images, optimize=True).std())


@pytest.mark.parametrize("world", ["images differ", "seeds differ", "both differ"])
def test_the_error_is_that_of_the_pigeonhole_bootstrap_less_the_interaction_counted_twice(world: str) -> None:
    first, second = simulated(np.random.default_rng(3), 20, 1000, *WORLDS[world])
    error = accuracy_difference(first, second).error
    assert error is not None
    assert 0.75 * pigeonhole_error(first, second) < error < 1.05 * pigeonhole_error(first, second)


def test_pairing_makes_the_interval_narrower_than_two_separate_ones() -> None:
    first, second = simulated(np.random.default_rng(0), 20, 1000, *WORLDS["images differ"])
    paired, alone = accuracy_difference(first, second).interval(), accuracy(first).interval
    assert paired is not None
    assert alone is not None
    assert paired.high - paired.low < alone.high - alone.low


def test_equal_differences_still_have_a_width() -> None:
    """Three seeds that all differ by the same four images: the test set is a sample all the same."""
    second = np.zeros((3, 360), dtype=bool)
    second[:, :300] = True
    first = second.copy()
    first[:, 300:304] = True
    interval = accuracy_difference(predictions(first), predictions(second)).interval()
    assert interval is not None
    assert interval.low < 0.0023 < 4 / 360 < 0.02 < interval.high


@pytest.mark.parametrize("right", [False, True])
def test_equal_predictions_still_have_a_width(right: bool) -> None:
    same = predictions(np.full((20, 360), right))
    interval, alone = accuracy_difference(same, same).interval(), accuracy(same).interval
    assert interval is not None
    assert alone is not None
    assert -0.006 < interval.low < 0 < interval.high < 0.006
    assert 0.009 < alone.high - alone.low < 0.02
    assert (alone.high if right else 1 - alone.low) == 1


def test_no_difference_beyond_all_images_is_claimed() -> None:
    interval = accuracy_difference(predictions(np.ones((5, 90), bool)), predictions(np.zeros((5, 90), bool))).interval()
    assert interval is not None
    assert interval.low < 1 == interval.high


def test_one_seed_gives_no_interval() -> None:
    generator = np.random.default_rng(0)
    one = predictions(generator.random((1, 50)) < 0.9)
    assert accuracy(one).interval is None
    assert accuracy(one).value == one.correct.mean()
    difference = accuracy_difference(one, predictions(generator.random((1, 50)) < 0.5))
    assert difference.error is difference.interval() is None
    assert difference.value > 0


def test_seeds_are_paired_by_number_and_those_of_one_method_are_left_out_and_named() -> None:
    correct = np.random.default_rng(0).random((4, 100)) < 0.8
    first = predictions(correct, (3, 0, 1, 7))
    second = predictions(correct[[2, 1, 0]], (1, 0, 3))
    difference = accuracy_difference(first, second)
    assert (difference.value, difference.seeds, difference.images) == (0, 3, 100)
    assert difference.note == "seeds of one method only are left out: 7"
    assert difference.basis == "3 seeds, 100 images"


def test_twenty_seeds_of_ten_thousand_images_take_well_under_a_second() -> None:
    generator = np.random.default_rng(0)
    first, second = (predictions(generator.random((20, 10_000)) < 0.97) for _ in range(2))
    start = time.process_time()
    accuracy_difference(first, second)
    assert time.process_time() - start < 0.5


matrices = st.tuples(st.integers(2, 6), st.integers(2, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))


@given(matrices)
def test_swapped_methods_mirror_the_difference_and_order_does_not_matter(
    matrix: tuple[int, int, int, float],
) -> None:
    seeds, images, seed, share = matrix
    generator = np.random.default_rng(seed)
    one, two = (generator.random((2, seeds, images)) < share)[:]
    forth = accuracy_difference(predictions(one), predictions(two))
    back = accuracy_difference(predictions(two), predictions(one))
    assert (back.value, back.error, back.degrees) == pytest.approx((-forth.value, forth.error, forth.degrees))
    rows, columns = generator.permutation(seeds), generator.permutation(images)
    names = tuple(int(row) for row in rows)
    mixed = accuracy_difference(predictions(one[rows][:, columns], names), predictions(two[rows][:, columns], names))
    assert (mixed.value, mixed.error) == pytest.approx((forth.value, forth.error))
    interval, alone = forth.interval(), accuracy(predictions(one))
    assert interval is not None
    assert interval.low < interval.high
    assert alone.interval is not None
    assert 0 <= alone.interval.low <= alone.value <= alone.interval.high <= 1
    assert alone.interval.low < alone.interval.high


@pytest.mark.parametrize(
    ("seeds", "correct", "named"),
    [
        ((0,), np.ones((1, 4)), "booleans"),
        ((0,), np.ones(4, bool), "booleans"),
        ((0, 1), np.ones((1, 4), bool), "2 seeds"),
        ((), np.ones((0, 4), bool), "0 seeds"),
        ((0,), np.ones((1, 1), bool), "2 or more images"),
        ((0, 0), np.ones((2, 4), bool), r"seeds = \[0, 0\]"),
    ],
)
def test_illegal_predictions_are_refused(seeds: tuple[int, ...], correct: NDArray[np.bool_], named: str) -> None:
    with pytest.raises(BenchError, match=named):
        Predictions(seeds, correct)


def test_predictions_that_cannot_be_paired_are_refused() -> None:
    one = predictions(np.ones((2, 4), bool))
    with pytest.raises(BenchError, match="4 and 5 images"):
        accuracy_difference(one, predictions(np.ones((2, 5), bool)))
    with pytest.raises(BenchError, match="one or more common seeds"):
        accuracy_difference(one, predictions(np.ones((2, 4), bool), (2, 3)))
