"""Sentences of results: effect, direction, interval, correction and sample."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.statistics.comparison import Comparison, Exact, NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.sentence import effect, sentence
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.verdict import Judged, judge


def judged(name: str, outcome: Outcome, margin: float = 3.0, cell: str = "", family: int = 1) -> Judged:
    return judge([Comparison("A", "B", STATISTICS[name], outcome, margin, cell=cell)] * family)[0]


def said(name: str, outcome: Outcome, margin: float = 3.0, cell: str = "", family: int = 1) -> str:
    return sentence(judged(name, outcome, margin, cell, family))


SENTENCES = [
    (
        said("step_time", Estimate(math.log(0.969), 0.007, 4, processes=(5,))),
        "A takes 3.1 % less time per step than B (95 % interval 1.2 to 5.0 %, 5 processes).",
    ),
    (
        said("step_time", Estimate(math.log(1.5), 0.04, 4, processes=(5, 7))),
        "A takes 50.0 % more time per step than B (95 % interval 34.2 to 67.6 %, 5 and 7 processes).",
    ),
    (
        said("step_time", Estimate(0.001, 0.002, 4, processes=(5,)), cell="depth 64"),
        "depth 64: A and B are equivalent within 3 %: A takes 0.1 % more time per step than B (95 % interval -0.5 to "
        "+0.7 %, 5 processes).",
    ),
    (
        said("accuracy_last", Estimate(0.0044, 0.0033, 50.0, seeds=20, images=360, note="seed 3 is left out"), 0.5),
        "undecided: A is 0.4 points more accurate at the last epoch than B (95 % interval -0.2 to +1.1 points, 20 "
        "seeds, 360 images, seed 3 is left out).",
    ),
    (
        said("throughput", Estimate(-0.1, 0.001, 9, processes=(10,)), family=8),
        "A trains 9.5 % fewer samples per second than B (99.37 % interval 9.2 to 9.8 %, corrected for 8 comparisons, "
        "10 processes).",
    ),
    (
        said("step_time", Estimate(0.1, processes=(1,))),
        "undecided: A takes 10.5 % more time per step than B (1 process, which gives no interval).",
    ),
    (
        said("activation_bytes", Exact(828_416, 26_950_000)),
        "A holds 96.9 % fewer bytes of activations than B (exactly 828,416 and 26,950,000).",
    ),
    (
        said("inference_bytes", Exact(1024, 1024), 0),
        "A and B are equal: A needs 0 % more bytes for a prediction than B (exactly 1,024 and 1,024).",
    ),
    (
        said("locked_share", NotMeasured("no record has a trace")),
        "A compared with B is not measured: no record has a trace.",
    ),
]


@pytest.mark.parametrize(("text", "expected"), SENTENCES)
def test_results_are_said_in_plain_sentences(text: str, expected: str) -> None:
    assert text == expected


@given(st.sampled_from(sorted(STATISTICS)), st.floats(-0.5, 0.5), st.floats(1e-3, 0.2))
def test_every_sentence_names_direction_and_interval(name: str, value: float, error: float) -> None:
    statistic = STATISTICS[name]
    text = said(name, Estimate(value, error, 9, processes=(10,)))
    assert text.endswith(", 10 processes).")
    assert "95 % interval" in text
    assert (statistic.lower if value < 0 else statistic.higher) in text


@pytest.mark.parametrize(
    ("name", "outcome", "expected"),
    [
        ("accuracy_last", Estimate(-0.016, 0.0079, 50.0, seeds=20), "-1.60 points [-3.19, -0.01]"),
        ("accuracy_last", Estimate(-0.016, 0.003, 50.0, seeds=20), "-1.6 points [-2.2, -1.0]"),
        ("accuracy_last", Estimate(-1e-4, 0.003, 50.0, seeds=20), "+0.0 points [-0.6, +0.6]"),
        ("accuracy_last", Estimate(0.0, 0.003, 50.0, seeds=20), "0 points [-0.6, +0.6]"),
        ("activation_bytes", Exact(1_000_010, 1_000_000), "+0.0010 %"),
        ("activation_bytes", Exact(1005, 1000), "+0.5 %"),
        ("activation_bytes", Exact(1, 1), "0 %"),
        ("activation_bytes", Exact(2, 1), "+100.0 %"),
    ],
)
def test_effects_and_their_ends_have_the_same_number_of_decimals(name: str, outcome: Outcome, expected: str) -> None:
    assert effect(judged(name, outcome)) == expected


@given(st.sampled_from(sorted(STATISTICS)), st.floats(-0.5, 0.5), st.floats(1e-6, 0.2))
def test_no_end_of_an_interval_is_rounded_to_zero(name: str, value: float, error: float) -> None:
    interval = judged(name, Estimate(value, error, 9, processes=(10,))).interval
    assert interval is not None
    shown = re.findall(r"[-+]?\d+(?:\.\d+)?", effect(judged(name, Estimate(value, error, 9, processes=(10,)))))
    assert len({len(number.partition(".")[2]) for number in shown if float(number)}) <= 1
    for end, text in zip(interval, shown[1:], strict=True):
        assert float(text) * end > 0 or abs(end) < 1e-8
