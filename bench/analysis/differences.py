"""Differences of test accuracies between a method and BP, paired by seed and by test image."""

from typing import Literal

import pandas as pd

from bench.analysis.inference.comparison import Comparison
from bench.analysis.inference.runs import Run, difference_of
from bench.analysis.inference.statistic import STATISTICS
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


def compared_with_bp(own: pd.DataFrame, baseline: pd.DataFrame, epoch: Epoch) -> Comparison:
    """Return the comparison of a method with BP in test accuracy at ``epoch``.

    :func:`bench.analysis.inference.runs.difference_of` says how they are paired.

    Args:
        own: the accuracies of the method on one cell, one or more, which differ in the seed.
        baseline: those of BP.
        epoch: the last one, or the one that validation chooses.
    """
    outcome = difference_of(_by_seed(own, epoch), _by_seed(baseline, epoch))
    return Comparison(own.iloc[0]["series"], "bp", STATISTICS[f"accuracy_{epoch}"], outcome, MARGIN_POINTS)


def _by_seed(rows: pd.DataFrame, epoch: Epoch) -> dict[int, Run]:
    held = rows[rows[SHARES[epoch]].notna()].drop_duplicates("seed")
    return {
        int(row["seed"]): Run(
            share=float(row[SHARES[epoch]]),
            correct=row[_PREDICTIONS[epoch]] if isinstance(row[_PREDICTIONS[epoch]], Correct) else None,
            fingerprint=row["fingerprint"],
            images=None if pd.isna(row["test_images"]) else int(row["test_images"]),
        )
        for _, row in held.iterrows()
    }
