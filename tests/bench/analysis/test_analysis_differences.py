"""Differences of accuracies from BP: paired by seed and image where records hold predictions, never of zero width."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_tables import accuracy_table
from numpy.typing import NDArray
from pydantic import ValidationError
from record_builder import made_data, make_record
from scipy import stats

from bench.analysis.differences import MARGIN_POINTS, compared_with_bp
from bench.analysis.frame import records_frame
from bench.analysis.statistics.accuracies import Predictions, accuracy_difference
from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate
from bench.config.check import make_cell
from bench.measure.accuracy import measure_accuracy
from bench.store.record import Record
from bench.train.datasets.splits import load_splits
from bench.train.step import build_step

Flags = NDArray[np.bool_]


def data_of(images: int, fingerprint: str = "one") -> dict[str, Any]:
    return made_data(8) | {"test_samples": images, "fingerprint": fingerprint}


def with_bits(method: str, flags: Flags, seeds: Sequence[int] | None = None, **fields: Any) -> list[Record]:
    """Records of ``method``, one per row of ``flags`` ``[seeds, images]``."""
    known = {"data": data_of(flags.shape[1])} | fields
    return [
        make_record({"method": method, "seed": seed, "passes": ["accuracy"]}, correct=row, **known)
        for seed, row in zip(seeds or range(len(flags)), flags, strict=True)
    ]


def without_bits(method: str, accuracies: Sequence[float], images: int | None = 360) -> list[Record]:
    data = None if images is None else data_of(images)
    return [
        make_record({"method": method, "seed": seed, "passes": ["accuracy"]}, accuracy=accuracy, data=data)
        for seed, accuracy in enumerate(accuracies)
    ]


def drawn(seed: int, seeds: int = 5, images: int = 360, share: float = 0.9) -> Flags:
    return np.random.default_rng(seed).random((seeds, images)) < share


def outcome_of(records: Sequence[Record], epoch: Any = "last") -> Outcome:
    frame = records_frame(records)
    comparison = compared_with_bp(frame[frame["series"] == "sid-streamed"], frame[frame["is_baseline"]], epoch)
    assert comparison.margin == MARGIN_POINTS
    return comparison.outcome


def estimate_of(records: Sequence[Record], epoch: Any = "last") -> Estimate:
    outcome = outcome_of(records, epoch)
    assert isinstance(outcome, Estimate)
    return outcome


def texts_of(records: Sequence[Record]) -> dict[str, str]:
    table = accuracy_table(records_frame(records))
    return dict(zip(table["method"], table["last epoch minus BP's, points"], strict=True))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(2, 40), st.integers(0, 10**6))
def test_a_difference_is_paired_by_seed_and_image(seeds: int, images: int, draw: int) -> None:
    own, bp = drawn(draw, seeds, images, 0.8), drawn(draw + 1, seeds, images, 0.6)
    records = with_bits("sid-streamed", own) + with_bits("bp", bp)[::-1]
    names = tuple(range(seeds))
    assert estimate_of(records) == accuracy_difference(Predictions(names, own), Predictions(names, bp))


def test_the_chosen_epoch_has_a_difference_of_its_own() -> None:
    last, chosen, bp = drawn(0, share=0.7), drawn(1), drawn(2)
    own = [
        make_record(
            {"method": "sid-streamed", "seed": seed, "passes": ["accuracy"]},
            correct=last[seed],
            correct_chosen=chosen[seed],
            data=data_of(360),
        )
        for seed in range(5)
    ]
    records = own + with_bits("bp", bp)
    assert estimate_of(records).value == pytest.approx(last.mean() - bp.mean())
    assert estimate_of(records, "chosen").value == pytest.approx(chosen.mean() - bp.mean())


def test_only_common_seeds_are_compared() -> None:
    own, bp = drawn(0), drawn(1)
    estimate = estimate_of(with_bits("sid-streamed", own) + with_bits("bp", bp, seeds=[2, 3, 4, 5, 6]))
    assert estimate.seeds == 3
    assert estimate.value == pytest.approx(own[2:].mean() - bp[:3].mean())
    assert isinstance(outcome_of(with_bits("sid-streamed", own) + with_bits("bp", bp, range(5, 10))), NotMeasured)
    assert isinstance(outcome_of(with_bits("sid-streamed", own)), NotMeasured)


def test_a_cell_that_was_measured_twice_counts_once() -> None:
    records = with_bits("sid-streamed", drawn(0)) + with_bits("bp", drawn(1))
    again = [
        make_record(
            {"method": record.cell.method, "seed": record.cell.seed, "passes": ["memory", "accuracy"]},
            correct=record.accuracy.correct_last.decode(),
            data=data_of(360),
        )
        for record in records
        if record.accuracy and record.accuracy.correct_last
    ]
    assert estimate_of(records + again) == estimate_of(records)


@pytest.mark.parametrize("method", ["bp", "sid-streamed"])
def test_without_predictions_of_one_of_the_two_the_interval_is_over_seeds_only(method: str) -> None:
    accuracies = [0.9, 0.95, 0.91]
    old = {"bp": "sid-streamed", "sid-streamed": "bp"}[method]
    flags = drawn(0, seeds=3)
    records = with_bits(method, flags) + without_bits(old, accuracies)
    sign = 1 if method == "sid-streamed" else -1
    differences = sign * (flags.mean(axis=1) - accuracies)
    estimate = estimate_of(records)
    assert (estimate.seeds, estimate.images) == (3, None)
    assert estimate.note is not None
    assert "seeds only" in estimate.note
    expected = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    assert estimate.interval() == pytest.approx(expected)
    low, high = (100 * end for end in expected)
    text = f"{100 * differences.mean():+.1f} [{low:+.1f}, {high:+.1f}] (over 3 seeds only)"
    assert texts_of(records)["sid-streamed"] == text


def test_equal_differences_without_predictions_have_the_width_of_a_test_image() -> None:
    records = without_bits("sid-streamed", [0.92] * 3) + without_bits("bp", [0.91] * 3)
    assert estimate_of(records).error == pytest.approx(1 / 362)
    half = 100 * stats.t.isf(0.025, 2) / 362
    assert texts_of(records)["sid-streamed"] == f"+1.0 [{1 - half:+.1f}, {1 + half:+.1f}] (over 3 seeds only)"


def test_equal_differences_have_no_interval_where_the_number_of_images_is_unknown() -> None:
    records = without_bits("sid-streamed", [0.92] * 3, None) + without_bits("bp", [0.91] * 3, None)
    assert texts_of(records)["sid-streamed"] == "+1.0, no interval (over 3 seeds only)"


def test_one_seed_gives_no_interval() -> None:
    flags = np.arange(10).reshape(1, 10)
    new = with_bits("sid-streamed", flags < 8) + with_bits("bp", flags < 9)
    assert texts_of(new)["sid-streamed"] == "-10.0, no interval (1 seed, 10 images)"
    old = without_bits("sid-streamed", [0.8]) + without_bits("bp", [0.9])
    assert texts_of(old)["sid-streamed"] == "-10.0, no interval (over 1 seed only)"


def test_different_data_are_not_compared() -> None:
    records = with_bits("sid-streamed", drawn(0)) + with_bits("bp", drawn(1), data=data_of(360, "other"))
    assert isinstance(outcome_of(records), NotMeasured)
    assert texts_of(records)["sid-streamed"] == "not measured"


def test_images_that_differ_by_seed_are_not_paired_with_each_other() -> None:
    records = []
    for method in ("sid-streamed", "bp"):
        for seed in range(3):
            flags = drawn(seed + len(method), 1)
            records += with_bits(method, flags, [seed], data=data_of(360, f"of seed {seed}"))
    assert estimate_of(records).images is None


def test_a_single_test_image_is_compared_over_seeds_only() -> None:
    own, bp = np.array([[True], [True], [False]]), np.array([[True], [False], [False]])
    assert estimate_of(with_bits("sid-streamed", own) + with_bits("bp", bp)).images is None


def ends_of(text: str) -> tuple[float, float]:
    found = re.search(r"\[(.*), (.*)\]", text)
    assert found is not None, text
    return float(found[1]), float(found[2])


@settings(deadline=None)
@given(
    st.integers(2, 5),
    st.sampled_from([2, 10, 360, 10_000]),
    st.floats(0, 1),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_no_printed_interval_has_zero_width_and_verdicts_agree_with_it(
    seeds: int, images: int, share: float, is_equal: bool, draw: int
) -> None:
    bp = drawn(draw, seeds, images, share)
    own = bp if is_equal else drawn(draw + 1, seeds, images, share)
    records = with_bits("sid-streamed", own) + with_bits("bp", bp)
    text = texts_of(records)["sid-streamed"]
    low, high = ends_of(text)
    assert low < high
    assert f"({seeds} seeds, {images:,} images)" in text
    verdict = text.split("] ")[1].split(" (")[0]
    if is_equal:
        assert low < 0 < high
        assert verdict in ("equivalent", "undecided")
    if verdict == "undecided":
        assert low < 0 < high
        assert max(-low, high) >= MARGIN_POINTS
    elif verdict == "equivalent":
        assert -MARGIN_POINTS <= low < high <= MARGIN_POINTS
    else:
        assert low > 0 if verdict == "better" else high < 0


def test_a_planted_difference_is_found_and_equal_methods_are_equivalent_on_many_images() -> None:
    bp = drawn(0, 20, 10_000, 0.9)
    better = bp | (np.random.default_rng(1).random(bp.shape) < 0.2)
    assert (
        " better (20 seeds, 10,000 images)"
        in texts_of(with_bits("sid-streamed", better) + with_bits("bp", bp))["sid-streamed"]
    )
    assert " equivalent (" in texts_of(with_bits("sid-streamed", bp) + with_bits("bp", bp))["sid-streamed"]


def test_more_comparisons_in_a_table_make_each_interval_wider() -> None:
    records = with_bits("bp", drawn(0)) + with_bits("sid-streamed", drawn(1))
    alone = ends_of(texts_of(records)["sid-streamed"])
    many = [
        record
        for index, method in enumerate(["sid-published", "sid-streamed-autograd", "deep-supervision"])
        for record in with_bits(method, drawn(index + 2))
    ]
    among = ends_of(texts_of(records + many)["sid-streamed"])
    assert among[0] < alone[0] < alone[1] < among[1]


def test_bp_is_not_compared_with_itself() -> None:
    texts = texts_of(with_bits("bp", drawn(0)) + with_bits("sid-streamed", drawn(1)))
    assert texts["bp"] == "baseline"


def test_real_runs_are_compared_by_seed_and_image() -> None:
    records = []
    axes = {"depth": 2, "width": 16, "hidden": 24, "epochs": 2, "train_samples": 200, "noise_rate": 0.4}
    for method in ("bp", "sid-streamed", "bp-checkpoint"):
        for seed in range(3):
            cell = make_cell({"method": method, "seed": seed, "passes": ["accuracy"]} | axes)
            splits = load_splits(cell, None)
            step = build_step(cell, splits.shape, splits.classes)
            made = make_record(cell.model_dump(), accuracy=0.5, data=data_of(360))
            records.append(made.model_copy(update={"accuracy": measure_accuracy(cell, step, splits)}))
    texts = texts_of(records)
    assert all("(3 seeds, 360 images)" in text for name, text in texts.items() if name != "bp")
    assert texts["bp recompute modules"].startswith("+0.0 [-")
    chosen = accuracy_table(records_frame(records))["chosen epoch minus BP's, points"]
    assert chosen.str.contains("3 seeds, 360 images").sum() == 2


def test_a_negative_number_of_test_images_is_refused() -> None:
    with pytest.raises(ValidationError, match="test_samples"):
        without_bits("bp", [0.9], images=-2)
