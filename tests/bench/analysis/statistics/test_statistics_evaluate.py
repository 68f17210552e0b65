"""Conclusions of claims, from a provider that makes up what was measured."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bench.analysis.statistics.claim import Claim
from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.comparison import Exact, NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.evaluate import ClaimResult, evaluate
from bench.analysis.statistics.provider import Found, Request
from bench.analysis.statistics.reason import tally
from bench.analysis.statistics.units import estimate_over

Answer = Callable[[Request], Sequence[Found] | NotMeasured]


class MadeUp:
    """A provider that answers with a function, and keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.asked: list[Request] = []

    def find(self, request: Request) -> Sequence[Found] | NotMeasured:
        self.asked.append(request)
        return self._answer(request)


def claim(**fields: Any) -> Claim:
    usual: dict[str, Any] = {
        "name": "noise",
        "sentence": "SID is more accurate.",
        "source": "here",
        "family": "accuracy",
        "expect": "better",
        "statistics": ["accuracy_last"],
        "margin": 0.5,
        "method": {"method": "sid-streamed"},
        "against": {"method": "bp"},
        "controls": [{"name": "smoothed labels", "against": {"method": "bp-label-smoothing"}}],
    }
    return Claim.model_validate(usual | fields)


def points(gain: float, error: float = 0.3) -> Estimate:
    return Estimate(gain / 100, error / 100, 19.0, seeds=20, images=1000)


def by_method(**outcomes: Outcome) -> Answer:
    """Answer with the outcome of the second method, whose hyphens are written as underscores, in one cell."""
    return lambda request: [Found("digits", outcomes[(request.against or request.method)["method"].replace("-", "_")])]


def concluded(answer: Answer, **fields: Any) -> ClaimResult:
    (result,) = evaluate([claim(**fields)], MadeUp(answer))
    return result


@pytest.mark.parametrize(
    ("bp", "smoothed", "conclusion", "reason"),
    [
        (points(3), points(2), "supported", "It holds in all of 2 comparisons, least in this one: (control: smoothed"),
        (points(-3), points(2), "refuted", "The contrary holds in the only comparison: digits: sid-streamed is 3.0 "),
        (points(0, 0.1), points(2), "refuted", "equivalent within 0.5 points"),
        (points(3), points(-2), "not supported", "(control: smoothed labels) digits: sid-streamed is 2.0 points less"),
        (points(3), points(0, 0.1), "not supported", "equivalent within 0.5 points"),
        (
            points(3),
            points(0.4),
            "undecided",
            "The numbers do not decide 1 of 2 comparisons: (control: smoothed labels)",
        ),
        (points(0.4), points(3), "undecided", "The numbers do not decide 1 of 2 comparisons: digits: undecided:"),
        (points(3), NotMeasured("it crashed"), "not measured", "Nothing was measured for 1 of 2 comparisons: (control"),
        (NotMeasured("it crashed"), points(3), "not measured", "is not measured: it crashed."),
        (points(0.4), NotMeasured("it crashed"), "undecided", "The numbers do not decide 1 of 2 comparisons: digits"),
        (NotMeasured("it crashed"), points(0.4), "not measured", "is not measured: it crashed."),
        (points(-3), NotMeasured("it crashed"), "refuted", "3.0 points less accurate at the last epoch than bp"),
        (points(3), Estimate(0.03, seeds=1, images=1000), "undecided", "which gives no interval"),
    ],
)
def test_a_claim_of_superiority_must_hold_against_each_control(
    bp: Outcome, smoothed: Outcome, conclusion: str, reason: str
) -> None:
    result = concluded(by_method(bp=bp, bp_label_smoothing=smoothed))
    assert result.conclusion == conclusion
    assert reason in result.reason
    assert result.reason.endswith(".")
    assert ("A difference within the margin is none." in result.reason) == reason.startswith("equivalent")


@pytest.mark.parametrize(
    ("expect", "gain", "error", "conclusion"),
    [
        ("no worse", 0.0, 0.1, "supported"),
        ("no worse", 2.0, 0.5, "supported"),
        ("no worse", -3.0, 0.5, "refuted"),
        ("no worse", -0.5, 0.3, "undecided"),
        ("equivalent", 0.0, 0.1, "supported"),
        ("equivalent", 3.0, 0.3, "refuted"),
        ("equivalent", 0.0, 1.0, "undecided"),
    ],
)
def test_other_expectations(expect: str, gain: float, error: float, conclusion: str) -> None:
    assert concluded(by_method(bp=points(gain, error)), expect=expect, controls=[]).conclusion == conclusion


def test_bytes_conclude_without_an_interval() -> None:
    fields = {"statistics": ["activation_bytes"], "margin": 5, "controls": []}
    assert concluded(by_method(bp=Exact(3, 100)), **fields).conclusion == "supported"
    assert concluded(by_method(bp=Exact(101, 100)), **fields).conclusion == "refuted"


def test_each_combination_statistic_and_control_is_asked_for_and_must_have_been_measured() -> None:
    def answer(request: Request) -> Sequence[Found] | NotMeasured:
        (kind,), (optimizer,) = request.where["noise_kind"], request.where["optimizer"]
        if kind == "asymmetric" and optimizer == "sgd":
            return NotMeasured("there is no such record")
        return [Found(f"{kind}, {optimizer}", points(3))]

    provider = MadeUp(answer)
    fields = {
        "each": {"noise_kind": ["pairflip", "asymmetric"], "optimizer": ["adam", "sgd"]},
        "where": {"noise_rate": [0.2, 0.4]},
        "statistics": ["accuracy_last", "accuracy_chosen"],
    }
    (result,) = evaluate([claim(**fields)], provider)
    assert len(provider.asked) == len(result.parts) == 2 * 2 * 2 * 2
    assert all(list(request.where["noise_rate"]) == [0.2, 0.4] for request in provider.asked)
    assert result.conclusion == "not measured"
    assert "Nothing was measured for 4 of 16 comparisons, for example: asymmetric, sgd: sid-streamed" in result.reason


def test_a_control_must_have_been_measured_in_every_cell_of_the_claim() -> None:
    def answer(request: Request) -> Sequence[Found]:
        cells = ["digits", "mnist"] if request.against == {"method": "bp"} else ["digits"]
        return [Found(cell, points(3)) for cell in cells]

    result = concluded(answer)
    assert result.conclusion == "not measured"
    assert "(control: smoothed labels) mnist: sid-streamed compared with bp-label-smoothing is not" in result.reason


def test_a_control_without_any_record_counts_once_for_each_cell() -> None:
    def answer(request: Request) -> Sequence[Found] | NotMeasured:
        if request.against == {"method": "bp"}:
            return [Found(cell, points(3)) for cell in ("digits", "mnist")]
        return NotMeasured("every run crashed")

    result = concluded(answer)
    assert len(result.parts) == 4
    assert "Nothing was measured for 2 of 4 comparisons, for example: (control: smoothed labels) dig" in result.reason
    assert result.reason.endswith("is not measured: every run crashed.")


def test_of_several_ways_to_run_a_control_the_first_that_was_measured_in_a_cell_counts() -> None:
    measured = {
        "bp": {"digits": points(3), "mnist": points(3), "shapes": points(3)},
        "dgl": {"digits": points(2), "mnist": NotMeasured("it crashed")},
        "bp-plain": {"digits": points(-9), "mnist": points(1)},
    }

    def answer(request: Request) -> Sequence[Found]:
        assert request.against is not None
        return [Found(cell, outcome) for cell, outcome in measured[request.against["method"]].items()]

    result = concluded(answer, controls=[{"name": "c", "against": [{"method": "dgl"}, {"method": "bp-plain"}]}])
    found = {
        part.judged.comparison.cell: (part.judged.comparison.second, part.judged.comparison.outcome)
        for part in result.parts
        if part.control == "c"
    }
    assert found["digits"] == ("dgl", points(2))
    assert found["mnist"] == ("bp-plain", points(1))
    assert found["shapes"][0] == "dgl"
    assert isinstance(found["shapes"][1], NotMeasured)


def test_a_control_may_have_a_statistic_of_its_own() -> None:
    provider = MadeUp(lambda _: [Found("digits", points(3))])
    early = {"name": "early stopping", "against": {"method": "bp"}, "statistics": ["accuracy_last_against_chosen"]}
    (result,) = evaluate([claim(controls=[early])], provider)
    assert [request.statistic.name for request in provider.asked] == ["accuracy_last", "accuracy_last_against_chosen"]
    assert result.conclusion == "supported"


def test_a_control_must_have_been_measured_in_the_cells_of_its_own_statistic() -> None:
    """Cells of bytes and of accuracies have other axes, so other texts."""
    provider = MadeUp(lambda request: [Found(request.statistic.name, points(3) if "accuracy" in request.statistic.name
                                             else Exact(1, 2))])  # fmt: skip
    (result,) = evaluate([claim(statistics=["activation_bytes", "accuracy_last"])], provider)
    assert [part.judged.comparison.cell for part in result.parts] == ["activation_bytes", "accuracy_last"] * 2
    assert result.conclusion == "supported"


@pytest.mark.parametrize(("first", "second", "quoted"), [(30, 101, "digits"), (130, 90, "digits"), (99, 60, "mnist")])
def test_of_bytes_that_are_equivalent_the_most_different_ones_are_quoted(first: int, second: int, quoted: str) -> None:
    found = [Found("digits", Exact(first, 100)), Found("mnist", Exact(second, 100))]
    fields = {"statistics": ["activation_bytes"], "expect": "equivalent", "margin": 300, "controls": []}
    result = concluded(lambda _: found, **fields)
    assert result.conclusion == "supported"
    assert result.deciding.judged.comparison.cell == quoted


def test_answers_are_counted() -> None:
    results = [
        concluded(by_method(bp=bp, bp_label_smoothing=smoothed))
        for bp, smoothed in (
            (points(3), points(2)),
            (points(-3), points(0.4)),
            (points(3), NotMeasured("it crashed")),
        )
    ]
    assert [tally(result.parts) for result in results] == [
        "2 of 2 hold",
        "0 of 2 hold, 1 contrary, 1 undecided",
        "1 of 2 hold, 1 not measured",
    ]


def test_the_deciding_comparison_is_the_least_in_favour() -> None:
    result = concluded(by_method(bp=points(3), bp_label_smoothing=points(2)))
    assert (result.deciding.control, result.deciding.judged.comparison.outcome) == ("smoothed labels", points(2))
    result = concluded(by_method(bp=points(-3), bp_label_smoothing=points(-5)))
    assert result.deciding.control is None


def test_a_rule_of_the_users_own_is_asked_for() -> None:
    provider = MadeUp(lambda _: [Found("digits", points(3))])
    (result,) = evaluate([claim(against={"method": "my_rules.py:rule"}, controls=[])], provider)
    assert (len(provider.asked), result.conclusion) == (1, "supported")


def test_a_method_that_does_not_exist_is_not_asked_for() -> None:
    provider = MadeUp(lambda _: [Found("digits", points(3))])
    (result,) = evaluate([claim(against={"method": "bp-from-the-future"}, controls=[])], provider)
    assert provider.asked == []
    assert result.reason.endswith("is not measured: there is no method 'bp-from-the-future'.")


def test_a_family_is_corrected_across_its_claims_and_no_other() -> None:
    fields = {"controls": [], "method": {"method": "sid-streamed"}}
    claims = [claim(name="a", **fields), claim(name="b", **fields), claim(name="c", family="other", **fields)]
    provider = MadeUp(lambda _: [Found("digits", points(0.65, 0.3))])
    first, second, other = evaluate(claims, provider)
    assert [result.parts[0].judged.family for result in (first, second, other)] == [2, 2, 1]
    assert [result.conclusion for result in (first, second, other)] == ["undecided", "undecided", "supported"]


def test_planted_claims_are_supported_and_nulls_are_not() -> None:
    """Eight comparisons of twenty seeds each: the plants are 1.5 points, the spread between seeds is one point."""

    def provider(seed: int, gain: float) -> MadeUp:
        generator = np.random.default_rng(seed)
        return MadeUp(
            lambda _: [
                Found(f"cell {index}", estimate_over("seeds", list(0.01 * (gain + generator.standard_normal((20, 1))))))
                for index in range(4)
            ]
        )

    planted = [evaluate([claim()], provider(seed, 1.5))[0].conclusion for seed in range(100)]
    assert planted.count("supported") >= 80
    nulls = [evaluate([claim()], provider(seed, 0.0))[0] for seed in range(200)]
    assert all(result.conclusion in ("undecided", "refuted", "not supported") for result in nulls)
    found = [any(part.judged.verdict in ("better", "worse") for part in result.parts) for result in nulls]
    assert sum(found) / len(found) <= 0.08  # 5 %, and two standard errors of 200 draws


def test_every_claim_of_the_paper_is_concluded_from_anything_measured_or_nothing() -> None:
    claims = load_claims()
    nothing = evaluate(claims, MadeUp(lambda _: NotMeasured("there is no such record")))
    assert {result.conclusion for result in nothing} == {"not measured"}

    def good(request: Request) -> Sequence[Found]:
        gain = 1.0 if request.statistic.better == "larger" else -1.0
        outcome: Outcome = Exact(1, 100) if request.statistic.exact else Estimate(gain, 0.01, 19.0, seeds=20)
        return [Found("a cell", outcome)]

    results = {result.claim.name: result for result in evaluate(claims, MadeUp(good))}
    assert results["beats-bp"].conclusion == results["monotone-divergence"].conclusion == "supported"
    assert results["unchanged-inference-time"].conclusion == "refuted"
    assert all(result.reason.endswith(".") for result in results.values())
