"""Rule or heads: the verdicts on made records with an effect of the rule, of the heads, or of neither."""

from collections.abc import Callable

import numpy as np
import pytest
from record_builder import made_data, make_record

from bench.analysis.statistics.claim_file import load_claims
from bench.analysis.statistics.rows import claim_rows
from bench.store.record import Record

HEADS = ("linear", "mlp", "mlp-sr", "conv")
STRONG = HEADS[1:]
# Beliefs as inputs and targets, as targets only, as inputs only, and neither.
RULES = (("sid-streamed", 0.5), ("sid-target", 0.5), ("sid-streamed", 1.0), ("dgl", None))
Share = Callable[[str, float | None, str], float]


def records_of(share: Share, images: int = 2000, seeds: int = 6) -> list[Record]:
    return [
        make_record(
            {
                "method": method,
                "head": head,
                "seed": seed,
                "network": "pipeline-conv",
                "dataset": "digits",
                "modules": 5,
                "passes": ["accuracy"],
                **({} if alpha is None else {"alpha": alpha}),
            },
            correct=np.random.default_rng(seed).permutation(images) < round(images * share(method, alpha, head)),
            data=made_data(8, "a", images),
        )
        for method, alpha in RULES
        for head in HEADS
        for seed in range(seeds)
    ]


def verdicts(records: list[Record]) -> dict[str, str]:
    claims = [claim for claim in load_claims() if claim.family == "rule or heads"]
    return {row.name: row.verdict for row in claim_rows(records, claims)}


def of_rule(method: str, alpha: float | None, _head: str) -> float:
    """Consistency helps, whatever the heads: beliefs as targets by four points, and as inputs by two more."""
    return 0.90 + 0.04 * (alpha == 0.5) + 0.02 * (method == "sid-streamed" and alpha == 0.5)


def of_heads(_method: str, _alpha: float | None, head: str) -> float:
    """Strong heads help, whatever the rule."""
    return 0.96 if head in STRONG else 0.90


def of_weak_heads_only(method: str, alpha: float | None, head: str) -> float:
    """The rule helps where heads are plain, and not where they are strong: heads can take its place."""
    return 0.96 if head in STRONG else of_rule(method, alpha, head)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (
            of_rule,
            {
                "rule-not-heads": "supported",
                "heads-not-rule": "refuted",
                "beliefs-as-inputs": "supported",
                "plain-heads": "supported",
            },
        ),
        (
            of_heads,
            {
                "rule-not-heads": "refuted",
                "heads-not-rule": "supported",
                "beliefs-as-inputs": "refuted",
                "plain-heads": "refuted",
            },
        ),
        (
            of_weak_heads_only,
            {
                "rule-not-heads": "refuted",
                "heads-not-rule": "supported",
                "beliefs-as-inputs": "refuted",
                "plain-heads": "supported",
            },
        ),
    ],
)
def test_a_planted_effect_is_found(share: Share, expected: dict[str, str]) -> None:
    assert verdicts(records_of(share)) == expected


def test_only_a_control_speaks_against_the_rule_where_greedy_learning_does_as_well() -> None:
    def share(method: str, alpha: float | None, head: str) -> float:
        return 0.96 if method == "dgl" else of_rule(method, alpha, head)

    assert verdicts(records_of(share))["rule-not-heads"] == "not supported"


def test_few_images_and_seeds_decide_nothing() -> None:
    found = verdicts(records_of(of_heads, images=100, seeds=2))
    assert found["rule-not-heads"] == "undecided"


def test_a_kind_of_heads_that_is_missing_is_told() -> None:
    records = [record for record in records_of(of_rule) if record.cell.head != "conv"]
    assert verdicts(records)["rule-not-heads"] == "not measured"
