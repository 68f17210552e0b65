"""Differences of test accuracies between a method and BP, paired by seed and by test image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from bench.analysis.statistics.comparison import Comparison
from bench.analysis.statistics.estimate import Estimate, Interval
from bench.analysis.statistics.runs import Run, difference_of
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.verdict import Judged, judge
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
    """A comparison of test accuracies, judged with the others of its table.

    Attributes:
        comparison: what was compared.
        judged: its verdict; None where the difference is over seeds only, which says nothing of other test images.
    """

    comparison: Comparison
    judged: Judged | None

    @property
    def estimate(self) -> Estimate | None:
        """The difference, a fraction; None if it is not measured."""
        outcome = self.comparison.outcome
        return outcome if isinstance(outcome, Estimate) else None

    @property
    def interval(self) -> Interval | None:
        """That of the verdict; over seeds only, the plain 95 % interval. None without a standard error."""
        if self.judged is not None:
            return self.judged.interval
        return None if self.estimate is None else self.estimate.interval()

    @property
    def verdict(self) -> str | None:
        """The word of the verdict; None where the interval is missing, or over seeds only."""
        return None if self.judged is None or self.judged.interval is None else self.judged.verdict


def judged_together(comparisons: Sequence[Comparison]) -> list[Difference]:
    """Return ``comparisons`` of accuracies with their verdicts, in order.

    All that rest on seeds and images are judged as one family; see :mod:`bench.analysis.statistics.verdict`. Those over
    seeds only say nothing of other test images, so they have no verdict and do not count in the correction.
    """
    judged = iter(judge([comparison for comparison in comparisons if not _is_over_seeds_only(comparison)]))
    return [
        Difference(comparison, None if _is_over_seeds_only(comparison) else next(judged)) for comparison in comparisons
    ]


def _is_over_seeds_only(comparison: Comparison) -> bool:
    return isinstance(comparison.outcome, Estimate) and comparison.outcome.images is None


def compared_with_bp(own: pd.DataFrame, baseline: pd.DataFrame, epoch: Epoch) -> Comparison:
    """Return the comparison of a method with BP in test accuracy at ``epoch``.

    :func:`bench.analysis.statistics.runs.difference_of` says how they are paired.

    Args:
        own: the accuracies of the method on one cell, one or more, which differ in the seed.
        baseline: those of BP.
        epoch: the last one, or the one that validation chooses.
    """
    return runs_compared(own.iloc[0]["series"], runs_by_seed(own, epoch), runs_by_seed(baseline, epoch), epoch)


def runs_compared(series: str, own: Mapping[int, Run], baseline: Mapping[int, Run], epoch: Epoch) -> Comparison:
    """Do as :func:`compared_with_bp` does with the runs by seed of a series and of BP."""
    return Comparison(series, "bp", STATISTICS[f"accuracy_{epoch}"], difference_of(own, baseline), MARGIN_POINTS)


def runs_by_seed(rows: pd.DataFrame, epoch: Epoch) -> dict[int, Run]:
    """Return the accuracy of one run per seed at ``epoch``; a seed without one is left out."""
    columns = (rows[name] for name in ("seed", SHARES[epoch], _PREDICTIONS[epoch], "fingerprint", "test_images"))
    runs: dict[int, Run] = {}
    for seed, share, correct, fingerprint, images in zip(*columns, strict=True):
        if pd.notna(share) and int(seed) not in runs:
            runs[int(seed)] = Run(
                share=float(share),
                correct=correct if isinstance(correct, Correct) else None,
                fingerprint=fingerprint,
                images=None if pd.isna(images) else int(images),
            )
    return runs
