"""Values that no measurement gives are refused where records are read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from record_builder import made_data, made_inference, made_ranks, make_record

from bench.errors import StoreError
from bench.store.file import read_records

RECORD = make_record(
    {"depth": 4, "modules": 4},
    memory=1000,
    latency=(1.0, 0.9, 1.1),
    step_shares=(0.1, 0.2, 0.1),
    correct=np.arange(100) < 80,
    data=made_data(8, test_samples=100),
    inference=made_inference(1000, 2000, 1.0),
    ranks=made_ranks([2, 2], ratio_to_one_rank=0.5, ratio_to_one_rank_ci95=[0.4, 0.6], peak_total_bytes=[1, 2]),
)
PARTS = ("data", "memory", "latency", "inference", "ranks")
# A relative difference, and how much longer one step took than another.
MAY_BE_NEGATIVE = {"memory.allocator.disagreement", "latency.compile_seconds"}


def numbers(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places of the numbers in ``value``."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(part, (*place, key))
    elif isinstance(value, int | float):
        yield place


def content() -> dict[str, Any]:
    """The record as it stands in a file, with a process of the latency."""
    parsed: dict[str, Any] = json.loads(RECORD.line())
    usage = dict.fromkeys(("minor_faults", "voluntary_switches", "involuntary_switches"), 1.0)
    process = {"median_seconds": 0.01, "bp_median_seconds": 0.01, "usage": usage, "bp_usage": None}
    parsed["latency"]["processes"] = [process | {"parallel_efficiency": [1.0], "exchange_speed": [1.0]}]
    parsed["latency"]["compile_seconds"] = 1.0
    return parsed


def read(folder: Path, parsed: dict[str, Any]) -> None:
    (folder / "results.jsonl").write_text(json.dumps(parsed, separators=(",", ":")))
    read_records(folder / "results.jsonl")


PLACES = [place for place in numbers(content()) if place[0] in PARTS]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_what_cannot_be_negative_is_refused_with_its_field(place: tuple[str | int, ...], tmp_path: Path) -> None:
    parsed: Any = content()
    read(tmp_path, parsed)
    part = parsed
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = -5
    field = ".".join(map(str, place))
    if field in MAY_BE_NEGATIVE:
        read(tmp_path, parsed)
        return
    with pytest.raises(
        StoreError, match=f"line 1 is not a legal record: {field} = -5(.0)?: .* greater than or equal to 0"
    ):
        read(tmp_path, parsed)


def test_the_places_are_those_of_all_parts() -> None:
    assert {place[0] for place in PLACES} == set(PARTS)
    assert len(PLACES) > 50


@pytest.mark.parametrize("when", ["last", "at_best_validation"])
@pytest.mark.parametrize("images", [1, 99, 101])
def test_predictions_of_another_number_of_images_than_the_data_have_are_refused(
    when: str, images: int, tmp_path: Path
) -> None:
    parsed = content()
    parsed["data"]["test_samples"] = images
    other = "at_best_validation" if when == "last" else "last"
    parsed["accuracy"][f"correct_{other}"] = None
    with pytest.raises(
        StoreError, match=rf"accuracy\.correct_{when}\.images = 100; legal: data\.test_samples, {images}"
    ):
        read(tmp_path, parsed)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("status", "fine", "legal record: status = 'fine': Input should be 'ok', "),
        ("attempts", "x" * 100, f"legal record: attempts = '{'x' * 59}...: Input should be a valid integer"),
        ("memory", [1] * 100, "legal record: memory = [1, 1, 1, "),
        ("more", 3, "legal record: more = 3: Extra inputs are not permitted"),
        ("cell", {"method": "bp"}, "legal record: cell: it lacks network, dataset, "),
        ("environment", None, "legal record: environment = None: Input should be a valid dictionary"),
    ],
)
def test_a_value_that_is_not_legal_is_named(field: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        read(tmp_path, content() | {field: value})
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_field_that_is_missing_has_no_value(tmp_path: Path) -> None:
    parsed = content()
    del parsed["memory"]["buffer_bytes"]
    with pytest.raises(StoreError, match=r"legal record: memory\.buffer_bytes: Field required$"):
        read(tmp_path, parsed)
