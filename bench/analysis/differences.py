"""Differences of test accuracies between a method and BP, paired by seed and by test image."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.analysis.inference.accuracies import Predictions, accuracy_difference
from bench.analysis.inference.comparison import Comparison, NotMeasured, Outcome
from bench.analysis.inference.estimate import Estimate
from bench.analysis.inference.statistic import STATISTICS
from bench.analysis.inference.units import estimate_over
from bench.store.correct import Correct

Epoch = Literal["last", "chosen"]
EPOCHS: tuple[Epoch, ...] = ("last", "chosen")

# Differences up to it do not matter: half a point, 2 of the 360 test images of digits, is what one more seed moves.
MARGIN_POINTS = 0.5

# The fraction of correct predictions and the predictions themselves at each epoch.
SHARES: dict[Epoch, str] = {"last": "accuracy.test_last", "chosen": "accuracy.test_at_best_validation"}
_PREDICTIONS: dict[Epoch, str] = {
    "last": "accuracy.correct_last",
    "chosen": "accuracy.correct_at_best_validation",
}
_SEEDS_ONLY = "over seeds only: records do not say which images were predicted correctly"


def compared_with_bp(own: pd.DataFrame, baseline: pd.DataFrame, epoch: Epoch) -> Comparison:
    """Return the comparison of a method with BP in test accuracy at ``epoch``.

    Where all records hold their predictions, on the same images, it is paired by seed and image. Otherwise it is paired
    by seed only: its interval then says nothing of other test images, and the number of images of the estimate is None.

    Args:
        own: the accuracies of the method on one cell, one or more, which differ in the seed.
        baseline: those of BP.
        epoch: the last one, or the one that validation chooses.
    """
    outcome = _difference(_by_seed(own, epoch), _by_seed(baseline, epoch), epoch)
    return Comparison(own.iloc[0]["series"], "bp", STATISTICS[f"accuracy_{epoch}"], outcome, MARGIN_POINTS)


def _by_seed(rows: pd.DataFrame, epoch: Epoch) -> pd.DataFrame:
    return rows[rows[SHARES[epoch]].notna()].drop_duplicates("seed").set_index("seed")


def _difference(own: pd.DataFrame, baseline: pd.DataFrame, epoch: Epoch) -> Outcome:
    common = own.index.intersection(baseline.index)
    if common.empty:
        return NotMeasured("there are no two records of one seed")
    data = [rows.loc[common, "fingerprint"].fillna("").tolist() for rows in (own, baseline)]
    if data[0] != data[1]:
        return NotMeasured("the data sets of the two differ")
    first, second = (_predictions(rows, epoch) for rows in (own, baseline))
    same_images = pd.concat([own, baseline])["fingerprint"].fillna("").nunique() == 1
    if first is not None and second is not None and same_images:
        return accuracy_difference(first, second)
    differences = (own.loc[common, SHARES[epoch]] - baseline.loc[common, SHARES[epoch]]).to_numpy(dtype=float)
    return _over_seeds(differences, own["test_images"].max())


def _predictions(rows: pd.DataFrame, epoch: Epoch) -> Predictions | None:
    """Return the predictions of ``rows``; None unless all hold them, on equally many images, two or more."""
    found = rows[_PREDICTIONS[epoch]].tolist()
    if not all(isinstance(correct, Correct) for correct in found):
        return None
    if len({correct.images for correct in found}) > 1 or found[0].images < 2:
        return None
    return Predictions(tuple(rows.index), np.stack([correct.decode() for correct in found]))


def _over_seeds(differences: NDArray[np.float64], images: float) -> Estimate:
    """Return the mean of ``differences`` ``[seeds]``, with the standard error over seeds.

    As in :func:`accuracy_difference` the error is at least ``1 / (images + 2)``. Where the number of images is unknown,
    NaN, equal differences have no error.
    """
    estimate = replace(estimate_over("seeds", [[value] for value in differences]), note=_SEEDS_ONLY, limit=1.0)
    if estimate.error is None:
        return estimate
    if np.isnan(images):
        return estimate if np.ptp(differences) > 0 else replace(estimate, error=None, degrees=None)
    return replace(estimate, error=max(estimate.error, 1 / (images + 2)))
