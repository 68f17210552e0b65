"""Differences in test accuracy between training runs of two methods, from what records hold of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics.accuracies import Predictions, accuracy_difference
from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.units import estimate_over
from bench.store.correct import Correct

_SEEDS_ONLY = "over seeds only: records do not say which images were predicted correctly"
_IMAGES_ALLOWED_FOR = (
    "paired over seeds only: records do not say which images were predicted correctly, so the interval allows for the "
    "most that other images can change"
)


@dataclass(frozen=True)
class Run:
    """The test accuracy of one training run.

    Attributes:
        share: the fraction of correct predictions.
        correct: which images were predicted correctly; None in records that do not say.
        fingerprint: of the data; None where it is unknown.
        images: the number of test images; None likewise.
    """

    share: float
    correct: Correct | None
    fingerprint: str | None
    images: int | None


def difference_of(first: Mapping[int, Run], second: Mapping[int, Run]) -> Outcome:
    """Return the test accuracy of ``first`` minus that of ``second``, runs by seed.

    Where all runs hold their predictions, on the same images, it is paired by seed and image. Otherwise it is paired by
    seed only: its interval then says nothing of other test images, and the number of images of the estimate is None.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return NotMeasured("there are no two records of one seed")
    if [first[seed].fingerprint for seed in common] != [second[seed].fingerprint for seed in common]:
        return NotMeasured("the data sets of the two differ")
    predictions = _predictions(first), _predictions(second)
    has_same_images = len({run.fingerprint for run in (*first.values(), *second.values())}) == 1
    if predictions[0] is not None and predictions[1] is not None and has_same_images:
        images = [part.correct.shape[1] for part in predictions if part is not None]
        if images[0] != images[1]:
            return NotMeasured(f"the test sets of the two differ: {images[0]} and {images[1]} images")
        return accuracy_difference(predictions[0], predictions[1])
    differences = np.array([first[seed].share - second[seed].share for seed in common])
    return _over_seeds(differences, [first[seed].images for seed in common])


def with_images_allowed_for(estimate: Estimate, shares: tuple[float, float], images: int | None) -> Estimate:
    """Return a difference over seeds only with an error that covers other test images, too.

    Two accuracies ``p`` and ``q`` differ on at most the fraction ``min(p + q, 2 - p - q)`` of the images, which bounds
    the variance over images. So the interval is wider than one that knows which images were right.

    Args:
        estimate: without an error it stays as it is.
        shares: the accuracies of both methods, means over the seeds.
        images: the number of test images; where it is unknown, the estimate has no error, since it bounds nothing.
    """
    if estimate.error is None or estimate.degrees is None:
        return estimate
    if not images:
        return replace(estimate, error=None, degrees=None)
    differing = min(sum(shares), 2 - sum(shares))
    of_seeds, of_images = estimate.error**2, max(differing - estimate.value**2, 0.0) / images
    degrees = estimate.degrees * ((of_seeds + of_images) / of_seeds) ** 2
    error = math.sqrt(of_seeds + of_images)
    return replace(estimate, error=error, degrees=degrees, images=images, note=_IMAGES_ALLOWED_FOR)


def _predictions(runs: Mapping[int, Run]) -> Predictions | None:
    """Return the predictions of ``runs``; None unless all hold them, on equally many images, two or more."""
    found = [run.correct for run in runs.values() if run.correct is not None]
    if len(found) < len(runs) or len({correct.images for correct in found}) > 1 or found[0].images < 2:
        return None
    return Predictions(tuple(runs), np.stack([correct.decode() for correct in found]))


def _over_seeds(differences: NDArray[np.float64], images: Sequence[int | None]) -> Estimate:
    """Return the mean of ``differences`` ``[seeds]``, with the standard error over seeds.

    As in :func:`accuracy_difference` the error is at least ``1 / (images + 2)``. Where the number of images is unknown,
    equal differences have no error.
    """
    estimate = replace(estimate_over("seeds", [[value] for value in differences]), note=_SEEDS_ONLY, limit=1.0)
    if estimate.error is None:
        return estimate
    known = [count for count in images if count is not None]
    if not known:
        return estimate if np.ptp(differences) > 0 else replace(estimate, error=None, degrees=None)
    return replace(estimate, error=max(estimate.error, 1 / (max(known) + 2)))
