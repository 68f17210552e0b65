"""Verdicts: power and errors in simulations, agreement with the printed interval, and symmetry."""

import math
from random import Random
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.statistics.accuracies import Predictions, accuracy_difference
from bench.analysis.statistics.comparison import Comparison, Exact, NotMeasured, Question
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.units import estimate_over, log_ratios
from bench.analysis.statistics.verdict import LEVEL, Judged, judge
from bench.errors import BenchError

TIME, ACCURACY, BYTES = (STATISTICS[name] for name in ("step_time", "accuracy_last", "activation_bytes"))
QUESTIONS: tuple[Question, ...] = ("better", "equivalent", "no worse")


def comparison(
    outcome: Estimate | Exact | NotMeasured, question: Question = "better", margin: float = 3.0, name: str = "step_time"
) -> Comparison:
    return Comparison("A", "B", STATISTICS[name], outcome, margin, question)


def timed(generator: np.random.Generator, ratio: float, between: float = 0.01) -> Estimate:
    """Five processes of eight blocks; the machine slows whole blocks down, and each process has a ratio of its own."""
    first, second = [], []
    for _ in range(5):
        level = np.exp(0.1 * generator.standard_normal((8, 1)))
        own = ratio * math.exp(between * generator.standard_normal())
        first.append(own * level * np.exp(0.01 * generator.standard_normal((8, 2))))
        second.append(level * np.exp(0.01 * generator.standard_normal((8, 2))))
    return estimate_over("processes", log_ratios(first, second))


def scored(generator: np.random.Generator, gain: float) -> Estimate:
    """Twenty seeds and 1,000 images; ``gain`` shifts the threshold at which an image is right."""
    easy = 2.5 + 2 * generator.standard_normal(1000) + 0.1 * generator.standard_normal((20, 1))
    right = [easy + own + 0.05 * generator.standard_normal((20, 1)) + generator.standard_normal((20, 1000)) > 0
             for own in (gain, 0.0)]  # fmt: skip
    first, second = (Predictions(tuple(range(20)), correct) for correct in right)
    return accuracy_difference(first, second)


def families(draws: int, *effects: float, kind: Literal["time", "accuracy"]) -> list[list[Judged]]:
    """One family of comparisons with the given true effects per draw."""
    judged = []
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        if kind == "time":
            judged.append(judge([comparison(timed(generator, effect)) for effect in effects]))
        else:
            judged.append(
                judge([comparison(scored(generator, gain), margin=0.5, name="accuracy_last") for gain in effects])
            )
    return judged


@pytest.mark.parametrize(("ratio", "verdict"), [(0.95, "better"), (1.05, "worse")])
def test_a_planted_ratio_of_five_per_cent_is_found_among_four_comparisons(ratio: float, verdict: str) -> None:
    found = [judged[0].verdict == verdict for judged in families(100, ratio, 1.0, 1.0, ratio, kind="time")]
    assert sum(found) >= 80


@pytest.mark.parametrize(("gain", "verdict"), [(0.15, "better"), (-0.15, "worse")])
def test_a_planted_gain_of_one_and_a_half_points_is_found_among_four_comparisons(gain: float, verdict: str) -> None:
    found = [judged[0].verdict == verdict for judged in families(100, gain, 0.0, 0.0, gain, kind="accuracy")]
    assert sum(found) >= 80


@pytest.mark.parametrize(("effects", "kind"), [((1.0,) * 6, "time"), ((0.0,) * 6, "accuracy")])
def test_families_of_nulls_hold_no_false_finding(effects: tuple[float, ...], kind: Literal["time", "accuracy"]) -> None:
    drawn = families(100, *effects, kind=kind)
    clean = [all(one.verdict in ("undecided", "equivalent") for one in family) for family in drawn]
    assert sum(clean) >= 95


def test_equal_speeds_are_found_equivalent_and_a_difference_at_the_margin_is_not() -> None:
    def share(ratio: float) -> float:
        draws = [judge([comparison(timed(np.random.default_rng(seed), ratio), "equivalent")]) for seed in range(200)]
        return sum(judged.verdict == "equivalent" for (judged,) in draws) / 200

    assert share(1.0) >= 0.8
    assert share(1.03) <= LEVEL


def test_no_false_yes_among_questions_of_all_kinds() -> None:
    """Every hypothesis is true: no difference, or a difference of just the margin."""
    margin = math.log(1.03)
    false = 0
    for seed in range(500):
        generator = np.random.default_rng(seed)
        errors = generator.standard_t(4, 9) * 0.01
        family = [
            comparison(Estimate(truth + errors[3 * index + part], 0.01, 4), question)
            for index, (question, truth) in enumerate(zip(QUESTIONS, (0.0, margin, margin), strict=True))
            for part in range(3)
        ]
        false += any(judged.answer == "yes" for judged in judge(family))
    assert false / 500 <= 0.06


def test_families_of_differences_beyond_the_margin_are_rarely_called_equivalent() -> None:
    """Differences so clear that Holm's correction tests the least of them at a mild level."""
    generator = np.random.default_rng(0)
    margin = math.log1p(0.03)
    false = 0
    for _ in range(300):
        errors = 0.001 * generator.standard_normal(30)
        family = [comparison(Estimate(-1.001 * margin + error, 0.001, math.inf)) for error in errors]
        false += any(judged.verdict == "equivalent" for judged in judge(family))
    assert false / 300 <= 0.06


estimates = st.builds(Estimate, st.floats(-0.2, 0.2), st.floats(1e-3, 0.1), st.integers(1, 30))
comparisons = st.lists(st.builds(comparison, estimates, st.sampled_from(QUESTIONS), st.floats(0.1, 10)), min_size=1)


@given(comparisons)
def test_answers_agree_with_adjusted_p_values_and_with_the_printed_interval(family: list[Comparison]) -> None:
    for judged in judge(family):
        assert judged.interval is not None
        assert judged.p_adjusted is not None
        assert judged.p_value is not None
        assert judged.confidence is not None
        low, high = judged.interval
        margin = math.log1p(judged.comparison.margin / 100)
        assert low < high
        assert judged.p_adjusted >= judged.p_value
        assert judged.confidence >= 0.95
        if judged.verdict == "better":
            assert high < 0
        elif judged.verdict == "worse":
            assert low > 0
        elif judged.verdict == "equivalent":
            assert max(-low, high) <= margin * (1 + 1e-9)
        else:
            assert low <= 0 <= high
        if abs(judged.p_adjusted - LEVEL) > 1e-6 and judged.comparison.question != "better":
            assert (judged.answer == "yes") == (judged.p_adjusted < LEVEL)
        if judged.answer == "yes":
            assert judged.p_adjusted < LEVEL + 1e-6


@given(comparisons)
def test_swapped_methods_mirror_the_verdict(family: list[Comparison]) -> None:
    opposite = {"better": "worse", "worse": "better"}
    mirrored = [
        Comparison(one.second, one.first, TIME, one.outcome.mirrored(), one.margin, "better")
        for one in family
        if isinstance(one.outcome, Estimate)
    ]
    straight = [Comparison(one.first, one.second, TIME, one.outcome, one.margin, "better") for one in family]
    for one, other in zip(judge(straight), judge(mirrored), strict=True):
        assert other.verdict == opposite.get(one.verdict, one.verdict)
        assert other.p_adjusted == pytest.approx(one.p_adjusted)


@given(comparisons, st.randoms(use_true_random=False))
def test_the_order_within_a_family_does_not_matter(family: list[Comparison], shuffler: Random) -> None:
    order = list(range(len(family)))
    shuffler.shuffle(order)
    straight = judge(family)
    for position, judged in zip(order, judge([family[index] for index in order]), strict=True):
        assert judged == straight[position]


@given(estimates, st.integers(1, 20))
def test_more_nulls_in_a_family_never_make_a_verdict_bolder(estimate: Estimate, nulls: int) -> None:
    null = comparison(Estimate(0.0, 0.05, 10))
    (alone,), (among, *_) = judge([comparison(estimate)]), judge([comparison(estimate)] + nulls * [null])
    assert among.p_adjusted is not None
    assert alone.p_adjusted is not None
    assert among.p_adjusted >= alone.p_adjusted
    assert among.answer in (alone.answer, "open")


@pytest.mark.parametrize(
    ("first", "second", "margin", "verdict"),
    [
        (100, 100, 0.0, "equivalent"),
        (100, 101, 0.0, "better"),
        (101, 100, 0.0, "worse"),
        (103, 100, 3.0, "equivalent"),
        (100, 103, 3.0, "equivalent"),
        (10301, 10000, 3.0, "worse"),
        (1, 30, 3.0, "better"),
    ],
)
def test_bytes_get_exact_verdicts(first: int, second: int, margin: float, verdict: str) -> None:
    (judged,) = judge([comparison(Exact(first, second), margin=margin, name="activation_bytes")])
    assert judged.verdict == verdict
    assert judged.interval is judged.p_value is judged.confidence is None


def test_what_has_no_test_does_not_count_in_the_correction() -> None:
    estimate = comparison(Estimate(-0.05, 0.01, 20))
    others = [
        comparison(Exact(1, 2), name="activation_bytes"),
        comparison(Estimate(0.1, processes=(1,))),
        comparison(NotMeasured("no record")),
    ]
    one, *rest = judge([estimate, *others])
    assert (one.family, one.confidence, one.p_adjusted) == (1, 0.95, one.p_value)
    assert [judged.verdict for judged in rest] == ["better", "undecided", "not measured"]
    assert [judged.answer for judged in rest] == ["yes", "open", "not measured"]
    assert judge([]) == []


@pytest.mark.parametrize(
    ("low", "high", "answers"),
    [
        (-0.02, 0.02, ("no", "yes", "yes")),
        (-0.09, -0.05, ("yes", "no", "yes")),
        (-0.09, -0.01, ("yes", "open", "yes")),
        (-0.045, -0.005, ("open", "open", "yes")),
        (0.01, 0.09, ("no", "open", "open")),
        (0.05, 0.09, ("no", "no", "no")),
        (-0.09, 0.09, ("open", "open", "open")),
        (-0.09, 0.01, ("open", "open", "yes")),
    ],
)
def test_answers_to_each_question(low: float, high: float, answers: tuple[str, ...]) -> None:
    estimate = Estimate((low + high) / 2, (high - low) / 2 / 1.959964, math.inf)
    assert tuple(judge([comparison(estimate, question)])[0].answer for question in QUESTIONS) == answers


@pytest.mark.parametrize("margin", [-1.0, math.nan, math.inf])
def test_illegal_margins_are_refused(margin: float) -> None:
    with pytest.raises(BenchError, match="margin"):
        comparison(Estimate(0.0, 0.1, 4), margin=margin)


def test_questions_that_no_interval_can_answer_are_refused() -> None:
    with pytest.raises(BenchError, match="equivalence"):
        comparison(Estimate(0.0, 0.1, 4), "equivalent", margin=0)
    with pytest.raises(BenchError, match="points"):
        comparison(Exact(1, 2), name="accuracy_last")
    with pytest.raises(BenchError, match="above 0"):
        Exact(0, 1)
