"""Differences of test accuracies between a method and BP, paired by seed and by test image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from bench.analysis.inference.comparison import Comparison
from bench.analysis.inference.estimate import Estimate, Interval
from bench.analysis.inference.runs import Run, difference_of
from bench.analysis.inference.statistic import STATISTICS
from bench.analysis.inference.verdict import Judged, Verdict, judge
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


@dataclass(frozen=True)
class Difference:
    """A difference of accuracies, judged.

    Attributes:
        value: the estimate, a fraction.
        interval: its ends; None where one seed gives none.
        verdict: None without an interval, and where the interval covers other seeds but not other test images.
        basis: what the estimate rests on: ``20 seeds, 360 images`` or ``over 3 seeds only``.
    """

    value: float
    interval: Interval | None
    verdict: Verdict | None
    basis: str


def judge_differences(comparisons: Sequence[Comparison]) -> list[Difference | None]:
    """Return the differences of one family, in order; None where there is no estimate.

    All comparisons that rest on seeds and images are judged together. Those over seeds only say nothing of other test
    images, so they have a plain 95 % interval and no verdict.
    """
    judged = iter(judge([comparison for comparison in comparisons if _over_seeds_only(comparison) is None]))
    return [
        _over_seeds(estimate) if (estimate := _over_seeds_only(comparison)) else _judged(next(judged))
        for comparison in comparisons
    ]


def _over_seeds_only(comparison: Comparison) -> Estimate | None:
    """Return the estimate of a comparison that does not cover other test images."""
    outcome = comparison.outcome
    return outcome if isinstance(outcome, Estimate) and outcome.images is None else None


def _over_seeds(estimate: Estimate) -> Difference:
    return Difference(estimate.value, estimate.interval(), None, f"over {estimate.basis} only")


def _judged(judged: Judged) -> Difference | None:
    estimate = judged.comparison.outcome
    if not isinstance(estimate, Estimate):
        return None
    verdict = None if judged.interval is None else judged.verdict
    return Difference(estimate.value, judged.interval, verdict, estimate.basis)


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
