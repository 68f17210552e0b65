"""Which kind of noise stands for others."""

import pandas as pd
import pytest

from bench.analysis.noise import strongest_kind


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
