"""Names of label noise, and which kind stands for others."""

import pandas as pd
import pytest

from bench.analysis.noise import noise_name, noise_text, strongest_kind


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        ([("none", 0.0)], "none"),
        ([("none", 0.0), ("pairflip", 0.4), ("symmetric-exclusive", 0.2)], "pairflip"),
        ([("pairflip", 0.4), ("symmetric-exclusive", 0.4)], "symmetric-exclusive"),
        (
            [("human labels.csv:worst", 1.0), ("matrix of=labels.csv:worst", 1.0), ("none", 0.0)],
            "human labels.csv:worst",
        ),
        ([("human labels.csv:worst", 0.3), ("symmetric-exclusive", 0.4)], "symmetric-exclusive"),
    ],
)
def test_the_highest_rate_stands_for_others_and_people_for_drawn_labels(
    rows: list[tuple[str, float]], kind: str
) -> None:
    assert strongest_kind(pd.DataFrame(rows, columns=["noise_kind", "noise_rate"])) == kind


@pytest.mark.parametrize(
    ("rate", "kind", "name", "text"),
    [
        (0.0, "none", "clean", "no label noise"),
        (0.4, "symmetric-exclusive", "noise 0.4", "40 % label noise"),
        (0.4, "pairflip", "pairflip noise 0.4", "40 % pairflip label noise"),
        (1.0, "human labels.csv:worst", "human noise", "human label noise"),
        (0.3, "matrix m.csv", "matrix noise 0.3", "matrix label noise in 30 %"),
    ],
)
def test_a_name_holds_a_kind_that_is_not_the_default(rate: float, kind: str, name: str, text: str) -> None:
    assert noise_name(rate, [kind]) == name
    assert noise_text(rate, kind) == text
    assert noise_name(0.4, ["pairflip", "symmetric-exclusive"]) == "noise 0.4"
