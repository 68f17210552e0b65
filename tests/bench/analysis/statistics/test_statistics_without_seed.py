"""Verdicts without one seed, against those of the records that are left."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from record_builder import made_trained

from bench.analysis.statistics.claim import Claim
from bench.analysis.statistics.evaluate import ask, evaluate, results_of
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.rows import claim_rows_of
from bench.analysis.statistics.without_seed import conclusions_without_a_seed, text_without_a_seed
from bench.store.record import Record

SHARES = st.sampled_from([0.5, 0.7, 0.9, 0.91])


def claim(name: str, **fields: Any) -> Claim:
    usual: dict[str, Any] = {
        "name": name,
        "sentence": "SID is more accurate.",
        "source": "here",
        "family": "accuracy",
        "expect": "better",
        "statistics": ["accuracy_last"],
        "margin": 0.5,
        "method": {"method": "sid-streamed"},
        "against": {"method": "bp"},
    }
    return Claim.model_validate(usual | fields)


CLAIMS = [
    claim("best", controls=[{"name": "smoothed labels", "against": {"method": "bp-label-smoothing"}}]),
    claim("no-worse", expect="no worse"),
    claim("by-module", statistics=["accuracy_by_module"], against=None),
    claim("bytes", statistics=["activation_bytes"], family="memory"),
]
NAMES = [one.name for one in CLAIMS]


def verdicts_with(records: list[Record]) -> dict[str, str]:
    return {result.claim.name: result.conclusion for result in evaluate(CLAIMS, RecordProvider(records))}


@given(st.lists(st.tuples(SHARES, SHARES, SHARES), min_size=2, max_size=5))
def test_verdicts_that_change_are_those_of_the_records_that_are_left(shares: list[tuple[float, float, float]]) -> None:
    records = [
        made_trained(method, seed, share)
        for seed, of_seed in enumerate(shares)
        for method, share in zip(("sid-streamed", "bp", "bp-label-smoothing"), of_seed, strict=True)
    ]
    asked = [ask(one, RecordProvider(records)) for one in CLAIMS]
    conclusions = [result.conclusion for result in results_of(CLAIMS, asked)]
    changed = conclusions_without_a_seed(CLAIMS, asked, conclusions)
    assert changed is not None
    found = dict(zip(NAMES, changed, strict=True))
    known = dict(zip(NAMES, conclusions, strict=True))
    for seed in range(len(shares)):
        left = verdicts_with([record for record in records if record.cell.seed != seed])
        assert {name: found[name].get(seed, known[name]) for name in NAMES} == left
    assert all(seed in range(len(shares)) for of_claim in found.values() for seed in of_claim)


def test_a_verdict_that_rests_on_one_seed_says_so() -> None:
    records = [
        made_trained(method, seed, share, images=1000)
        for method, shares in (("sid-streamed", (0.9, 0.9, 0.9, 0.5)), ("bp", (0.8, 0.8, 0.8, 0.8)))
        for seed, share in enumerate(shares)
    ]
    (row,) = claim_rows_of(RecordProvider(records), [claim("one-seed")])
    assert row.verdict_text == "undecided (supported without seed 3)"


def test_a_method_with_one_seed_keeps_it() -> None:
    records = [made_trained("sid-streamed", 0, 0.9), made_trained("bp", 0, 0.8)]
    (row,) = claim_rows_of(RecordProvider(records), [claim("one-seed")])
    assert (row.verdict, row.without_a_seed) == ("undecided", "")


def test_seeds_are_named_by_what_they_change() -> None:
    assert text_without_a_seed({}) == ""
    assert text_without_a_seed({7: "refuted"}) == "refuted without seed 7"
    assert text_without_a_seed({2: "undecided", 0: "undecided", 1: "supported", 9: "undecided"}) == (
        "undecided without one of the seeds 0, 2 and 9, supported without seed 1"
    )


def test_more_comparisons_than_asked_for_are_not_judged() -> None:
    records = [made_trained(method, seed, 0.9) for method in ("sid-streamed", "bp") for seed in range(3)]
    provider = RecordProvider(records)
    for most, without in ((2, None), (3, "")):  # one comparison, three seeds
        (row,) = claim_rows_of(provider, [claim("few")], most)
        assert row.without_a_seed == without
        assert row.verdict_text == row.verdict


def test_the_only_seed_in_common_stays() -> None:
    records = [made_trained("sid-streamed", seed, 0.9) for seed in range(5)] + [made_trained("bp", 2, 0.8)]
    (row,) = claim_rows_of(RecordProvider(records), [claim("one-seed")])
    assert (row.verdict, row.without_a_seed) == ("undecided", "")
