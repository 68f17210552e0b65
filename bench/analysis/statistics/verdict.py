"""Verdicts of comparisons, corrected for how many are made.

A family is a list of comparisons that are read together. Each asks one question, which is one two-sided test.
``better`` tests that there is no difference; ``equivalent`` that the difference is the margin or more (two one-sided
tests, each at half the level, so that they match the interval that is printed); ``no worse`` that the first method is
worse by the margin or more. Holm's correction takes the p-values of the questions. It gives each comparison a level
``a``, and the verdict is read from one interval of confidence ``1 - a``, the one that is printed. So

- the answer to a question and the interval never contradict each other, and
- the probability of any false answer ``yes`` in a family is at most 5 %.

A comparison that asks whether a method is better may find it equivalent, which is another hypothesis than the one that
Holm's correction is about. It does so by the strictest interval of the family only (Bonferroni), which is then the one
that is printed. So the probability that any comparison of a family of such questions is called equivalent, though its
difference is the margin or more, is at most 5 %, too. Comparisons of exact numbers are certain, and those
without an interval say nothing; neither counts in the correction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.statistics.comparison import Comparison, Exact, NotMeasured
from bench.analysis.statistics.estimate import Estimate, Interval
from bench.analysis.statistics.holm import holm_adjusted, holm_levels

Verdict = Literal["better", "worse", "equivalent", "undecided", "not measured"]
Answer = Literal["yes", "no", "open", "not measured"]

LEVEL = 0.05


@dataclass(frozen=True)
class Judged:
    """A comparison with its verdict.

    Attributes:
        comparison: what was compared.
        verdict: of the first method: ``equivalent`` if the interval is within the margin; else ``better`` or ``worse``
            if it excludes 0; else ``undecided``.
        answer: to the question. ``better``: yes with that verdict and an estimate beyond the margin, no if worse or
            equivalent; so a wider interval never makes a yes out of a no. ``equivalent``: yes with that verdict, no if
            the interval is outside the margin. ``no worse``: yes if the interval is above minus the margin, no if it
            is below.
        interval: of the estimate, on its own scale, with ``confidence``; None for exact numbers and without an error.
        confidence: 0.95, or more after the correction; None without an interval.
        p_value: of the question; None likewise.
        p_adjusted: the same after Holm's correction.
        family: the number of comparisons that the correction counts.
    """

    comparison: Comparison
    verdict: Verdict
    answer: Answer
    interval: Interval | None = None
    confidence: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    family: int = 0


def judge(comparisons: Sequence[Comparison]) -> list[Judged]:
    """Return the verdict of each comparison of a family, in order."""
    p_values = [_p_value(comparison) for comparison in comparisons]
    tested = [p_value for p_value in p_values if p_value is not None]
    corrected = iter(zip(holm_levels(tested, LEVEL), holm_adjusted(tested), strict=True))
    judged = []
    for comparison, p_value in zip(comparisons, p_values, strict=True):
        if p_value is None:
            judged.append(_without_test(comparison))
        else:
            level, adjusted = next(corrected)
            judged.append(_from_test(comparison, 1 - level, p_value, adjusted, len(tested)))
    return judged


def _p_value(comparison: Comparison) -> float | None:
    estimate = comparison.outcome
    if not isinstance(estimate, Estimate):
        return None
    margin = comparison.statistic.margin_on_scale(comparison.margin)
    if comparison.question == "better":
        return estimate.p_value(abs(estimate.value))
    if comparison.question == "equivalent":
        return estimate.p_value(margin - abs(estimate.value))
    return estimate.p_value(margin + comparison.oriented(estimate.value))


def _from_test(comparison: Comparison, confidence: float, p_value: float, p_adjusted: float, family: int) -> Judged:
    estimate = comparison.outcome
    interval = estimate.interval(confidence) if isinstance(estimate, Estimate) else None
    verdict, answer = _read(comparison, interval)
    if verdict == "equivalent" and comparison.question == "better" and isinstance(estimate, Estimate):
        confidence = 1 - LEVEL / family
        interval = estimate.interval(confidence)
        verdict, answer = _read(comparison, interval)
    return Judged(comparison, verdict, answer, interval, confidence, p_value, p_adjusted, family)


def _without_test(comparison: Comparison) -> Judged:
    outcome = comparison.outcome
    if isinstance(outcome, NotMeasured):
        return Judged(comparison, "not measured", "not measured")
    certain = Interval(outcome.log_ratio, outcome.log_ratio) if isinstance(outcome, Exact) else None
    return Judged(comparison, *_read(comparison, certain))


def _read(comparison: Comparison, interval: Interval | None) -> tuple[Verdict, Answer]:
    """Return the verdict and the answer that an interval gives."""
    if interval is None:
        return "undecided", "open"
    worst, best = sorted(comparison.oriented(end) for end in interval)
    # Bytes may lie on the margin to the digit, which rounding must not move out.
    margin = comparison.statistic.margin_on_scale(comparison.margin) * (1 + 1e-12)
    verdict: Verdict = "undecided"
    if -margin <= worst and best <= margin:
        verdict = "equivalent"
    elif worst > 0:
        verdict = "better"
    elif best < 0:
        verdict = "worse"
    matters = (worst + best) / 2 > margin
    yes = {
        "better": verdict == "better" and matters,
        "equivalent": verdict == "equivalent",
        "no worse": worst >= -margin,
    }
    no = {
        "better": verdict in ("worse", "equivalent"),
        "equivalent": worst > margin or best < -margin,
        "no worse": best < -margin,
    }
    return verdict, "yes" if yes[comparison.question] else "no" if no[comparison.question] else "open"
