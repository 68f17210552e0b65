"""The forest plot of accuracies: its numbers are the table's, and its findings follow from the verdicts."""

import re
from typing import Any

import numpy as np
import pytest
from drawn_views import check_figures
from made_tables import accuracy_table
from record_builder import made_data, make_record

from bench.analysis.frame import records_frame
from bench.analysis.trained import trained_methods
from bench.report.figures.figure import Figure
from bench.report.figures.forest import draw_forest
from bench.report.figures.style import look_of
from bench.store.record import Record

IMAGES = 4000


def run(method: str, seed: int, accuracy: float = 0.9, images: int = IMAGES, **axes: Any) -> Record:
    """Returns a run whose predictions are right on the same share of images, and differ by a few between seeds."""
    cell = {"method": method, "depth": 4, "seed": seed, "passes": ["accuracy"]} | axes
    correct = np.arange(images) < round(images * accuracy) + seed
    return make_record(cell, correct=correct, data=made_data(8, "one", images))


def runs(method: str, accuracy: float = 0.9, seeds: int = 10, **axes: Any) -> list[Record]:
    return [run(method, seed, accuracy, **axes) for seed in range(seeds)]


def drawn(records: list[Record]) -> Figure | None:
    frame = records_frame(records)
    return draw_forest(trained_methods(frame), look_of(frame))


def forest_of(records: list[Record]) -> Figure:
    figure = drawn(records)
    assert figure is not None
    check_figures([figure])
    return figure


def test_the_numbers_and_verdicts_are_those_of_the_table() -> None:
    records = [
        record
        for rate in (0.0, 0.4)
        for method, accuracy in (
            ("bp", 0.9),
            ("sid-streamed", 0.901),
            ("deep-supervision", 0.92),
            ("bp-bootstrap", 0.8),
        )
        for record in runs(method, accuracy, noise_rate=rate)
    ]
    records += runs("bp", 0.88, modules=1)
    table = accuracy_table(records_frame(records))
    table = table[table["last epoch minus BP's, points"] != "baseline"]
    expected = sorted(text for epoch in ("last", "chosen") for text in table[f"{epoch} epoch minus BP's, points"])
    rows = [row for view in forest_of(records).views for row in view.data.to_dict("records")]
    found = sorted(f"{row['minus BP, points']} {row['interval']} {row['verdict']} ({row['over']})" for row in rows)
    assert found == expected
    assert len(found) == 2 * (3 + 3 + 1)
    assert {row["method"] for row in rows} == {"bp, 1 module", "sid-streamed", "deep-supervision", "bp-bootstrap"}


def test_the_finding_says_who_is_within_the_margin_and_who_is_better() -> None:
    records = [*runs("bp"), *runs("sid-streamed", 0.901), *runs("deep-supervision", 0.93)]
    (view,) = forest_of(records).views
    assert view.finding == (
        "sid-streamed is within 0.5 points of BP (10 seeds); deep-supervision is 3.0 points better."
    )
    assert view.choice == "cascade-linear on digits, adam, depth 4, no label noise"


def test_the_finding_begins_with_the_largest_difference_if_none_is_within_the_margin() -> None:
    (view,) = forest_of([*runs("bp"), *runs("sid-streamed", 0.92), *runs("deep-supervision", 0.85)]).views
    assert view.finding == (
        "deep-supervision is 5.0 points worse than BP (10 seeds); sid-streamed is 2.0 points better."
    )


def test_one_seed_has_a_mark_but_no_interval_and_no_verdict() -> None:
    (view,) = forest_of([*runs("bp", seeds=1), *runs("sid-streamed", 0.92, seeds=1)]).views
    assert view.data["interval"].tolist() == ["no interval"] * 2
    assert view.data["over"].tolist() == ["1 seed, 4,000 images"] * 2
    assert view.finding == "without a verdict: sid-streamed (+2.0) (1 seed)."


def test_records_that_do_not_say_which_images_were_right_have_an_interval_over_seeds() -> None:
    records = [
        make_record(
            {"method": method, "seed": seed, "passes": ["accuracy"], "noise_rate": 0.4}, accuracy=accuracy + seed / 100
        )
        for method, accuracy in (("bp", 0.8), ("sid-streamed", 0.85))
        for seed in range(3)
    ]
    (view,) = forest_of(records).views
    assert view.data["epoch"].tolist() == ["last"]  # the chosen one is unknown in such records
    assert view.data["over"].tolist() == ["over 3 seeds only"]
    assert view.finding.startswith("without a verdict: sid-streamed (+5.0")


def test_methods_without_runs_of_bp_are_not_drawn() -> None:
    assert drawn(runs("sid-streamed")) is None
    assert drawn(runs("bp")) is None


def test_cells_with_most_seeds_come_first_and_at_most_twelve_are_drawn() -> None:
    records = [
        record
        for depth in range(1, 15)
        for method in ("bp", "sid-streamed")
        for record in runs(method, seeds=3 if depth == 9 else 2, images=20, depth=depth, modules=depth)
    ]
    figure = forest_of(records)
    assert len(figure.views) == 12
    assert "depth 9" in figure.views[0].choice
    assert "2 more cells are not drawn" in figure.caption
    assert "all 28 comparisons" in figure.caption


def test_each_seed_is_a_dot() -> None:
    (view,) = forest_of([*runs("bp", seeds=5), *runs("sid-streamed", 0.92, seeds=4)]).views
    paths = re.findall(r'<g id="series:sid-streamed"><path d="([^"]*)"[^>]*stroke-opacity:0.6', view.wide)
    assert [path.count("M") for path in paths] == [4, 4]  # of the last and of the chosen epoch


def test_an_interval_that_reaches_far_does_not_hide_the_points() -> None:
    own = [run("sid-streamed", seed, 0.9 + seed / 10, images=20) for seed in range(2)]
    (view,) = forest_of([*runs("bp", seeds=2, images=20), *own]).views
    low, high = (float(end) for end in view.data["interval"].iloc[0].strip("[]").split(", "))
    assert high - low > 100
    ticks = [
        float(text.replace("\N{MINUS SIGN}", "-")) for text in re.findall(r">(\N{MINUS SIGN}?\d+)</text>", view.wide)
    ]
    assert max(ticks) - min(ticks) < 100


@pytest.mark.parametrize("name", ["</g><script>", 'a"b', "x" * 300, "ä ö:%"])
def test_any_name_of_a_method_is_drawn(name: str) -> None:
    odd = [
        record.model_copy(update={"cell": record.cell.model_copy(update={"method": name})})
        for record in runs("sid-streamed", 0.95)
    ]
    (view,) = forest_of([*runs("bp"), *odd]).views
    assert set(view.data["method"]) == {name}
    assert "<script>" not in view.wide


def test_different_kinds_of_noise_are_different_cells() -> None:
    records = [
        record
        for kind in ("symmetric-exclusive", "pairflip")
        for method in ("bp", "sid-streamed")
        for record in runs(method, noise_rate=0.4, noise_kind=kind)
    ]
    choices = [view.choice for view in forest_of(records).views]
    assert len(set(choices)) == 2
    assert ["pairflip label noise" in choice for choice in sorted(choices)] == [False, True]
