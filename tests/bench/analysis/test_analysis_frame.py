"""The words for a configuration in the frame of records."""

from typing import Any

import pytest
from record_builder import make_record

from bench.analysis.frame import records_frame


@pytest.mark.parametrize(
    ("asked", "data", "text"),
    [
        (5000, (1293, 144), "1437 samples"),
        (5000, (4500, 500), "5000 samples"),
        (5000, None, "5000 samples"),
        (None, (1293, 144), ""),
    ],
)
def test_the_samples_named_are_those_that_there_were(
    asked: int | None, data: tuple[int, int] | None, text: str
) -> None:
    fields: dict[str, Any] = {}
    if data is not None:
        samples = {"train_samples": data[0], "validation_samples": data[1], "test_samples": 360}
        fields["data"] = {"classes": 10, "shape": [1, 8, 8], "fingerprint": "", **samples}
    cell = {"train_samples": asked, "epochs": 20, "passes": ["accuracy"]}
    (named,) = records_frame([make_record(cell, accuracy=0.5, **fields)])["training_text"]
    assert named == ", ".join(filter(None, ["20 epochs", text]))
