"""Differences between runs whose records do not say which images were right."""

import numpy as np
import pytest

from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.runs import Run, difference_of, with_images_allowed_for

IMAGES, SEEDS, DRAWS = 400, 4, 200


def drawn(generator: np.random.Generator, accuracies: tuple[float, float], shared: float) -> list[dict[int, Run]]:
    """Draws runs of two methods, whose predictions of an image agree between seeds with probability ``shared``."""
    runs: list[dict[int, Run]] = []
    for accuracy in accuracies:
        common = generator.random(IMAGES) < accuracy
        own = generator.random((SEEDS, IMAGES)) < accuracy
        correct = np.where(generator.random((SEEDS, IMAGES)) < shared, common, own)
        runs.append({seed: Run(float(row.mean()), None, "a", IMAGES) for seed, row in enumerate(correct)})
    return runs


def allowed_for(runs: list[dict[int, Run]]) -> Estimate:
    found = difference_of(*runs)
    assert isinstance(found, Estimate)
    shares = [float(np.mean([run.share for run in side.values()])) for side in runs]
    return with_images_allowed_for(found, (shares[0], shares[1]), IMAGES)


def test_the_interval_holds_the_difference_of_other_images_too() -> None:
    """Where all seeds fail on the same images, the spread between seeds tells nothing of other images."""
    generator = np.random.default_rng(0)
    held = {"seeds only": 0, "images too": 0}
    for _ in range(DRAWS):
        runs = drawn(generator, (0.9, 0.85), shared=0.95)
        for name, found in (("seeds only", difference_of(*runs)), ("images too", allowed_for(runs))):
            interval = found.interval() if isinstance(found, Estimate) else None
            assert interval is not None
            held[name] += interval.low <= 0.05 <= interval.high
    assert held["images too"] >= 0.95 * DRAWS
    assert held["seeds only"] <= 0.8 * DRAWS


def test_a_large_difference_is_still_found() -> None:
    generator = np.random.default_rng(1)
    lows = [allowed_for(drawn(generator, (0.95, 0.7), shared=0.9)).interval() for _ in range(50)]
    assert all(interval is not None and interval.low > 0 for interval in lows)


def test_the_largest_error_is_that_of_images_that_differ_where_they_can() -> None:
    one = Estimate(0.0, 0.01, 3.0, seeds=4)
    for shares, differing in (((0.5, 0.5), 1.0), ((0.9, 0.9), 0.2), ((0.1, 0.2), 0.3), ((1.0, 1.0), 0.0)):
        found = with_images_allowed_for(one, shares, 100)
        assert found.error is not None
        assert found.degrees is not None
        assert found.error**2 - 0.01**2 == pytest.approx(differing / 100)
        assert found.degrees >= 3.0
    assert with_images_allowed_for(Estimate(0.1, seeds=1), (0.9, 0.8), 100).error is None
    assert with_images_allowed_for(one, (0.9, 0.9), None).error is None
