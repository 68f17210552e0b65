"""The summary: one row is one cell, and BP's strongest runs are in it."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import made_data, make_record

from bench.analysis.frame import records_frame
from bench.report.tables.summary import summary_table
from bench.store.record import Record

LAST, CHOSEN = "accuracy, clean, last epoch, %", "accuracy, clean, chosen epoch, %"
DIFFERENCE = "minus BP's, clean, last epoch, points"
ACTIVATIONS = "peak activations, MiB"
ABSENT = "not measured"
IMAGES = 200


def trained(method: str, accuracy: float, seeds: int = 2, chosen: float | None = None, **axes: Any) -> list[Record]:
    """Records of accuracies of 200 images; the wrong ones are the last."""
    shares = (accuracy, accuracy if chosen is None else chosen)
    last, at_choice = (np.arange(IMAGES) < round(IMAGES * share) for share in shares)
    data = made_data(8) | {"test_samples": IMAGES}
    return [
        make_record(
            {"method": method, "passes": ["accuracy"], "seed": seed} | axes,
            correct=last,
            correct_chosen=at_choice,
            data=data,
        )
        for seed in range(seeds)
    ]


def timed(method: str, mebibytes: int, ratio: float = 0.9, **axes: Any) -> Record:
    cell = {"method": method, "passes": ["memory", "latency"]} | axes
    return make_record(cell, mebibytes * 2**20, (ratio, ratio - 0.1, ratio + 0.1), data=made_data(8))


def summary_of(records: Sequence[Record]) -> pd.DataFrame:
    return summary_table(records_frame(records))[0]


def row_of(table: pd.DataFrame, method: str, *words: str) -> pd.Series:
    """The only row of ``method`` whose cell has all ``words``."""
    found = table[(table["method"] == method) & table["cell"].map(lambda cell: set(words) <= set(cell.split(", ")))]
    assert len(found) == 1, table[["cell", "method"]]
    return found.iloc[0]


def test_the_summary_shows_the_largest_cell_and_the_one_with_accuracies_in_rows_of_their_own(
    made_records: list[Record],
) -> None:
    table = summary_of(made_records)
    large = row_of(table, "sid-streamed", "depth 64", "modules 64", "hidden 256", "batch 512")
    assert large["activations / BP"] == f"{100 / 64000:.3f}"
    assert large["step latency / BP [95 %]"] == "0.90 [0.85, 0.95] (1 process)"
    assert large[LAST] == large[DIFFERENCE] == ABSENT
    small = row_of(table, "sid-streamed", "depth 4", "modules 4", "batch 128", "10 epochs")
    assert (small[LAST], small[CHOSEN]) == ("93.0", "93.0")
    assert re.fullmatch(r"\+2\.0 \[.*\] \w+ \(3 seeds, 100 images\)", small[DIFFERENCE])
    assert small[ACTIVATIONS] == small["step latency / BP [95 %]"] == ABSENT


def test_costs_and_accuracy_of_one_cell_are_in_one_row() -> None:
    records = [
        record
        for method, size in (("bp", 8), ("sid-streamed", 2))
        for record in (timed(method, size), *trained(method, 0.9, epochs=3))
    ]
    table = summary_of(records)
    assert table["method"].tolist() == ["bp", "sid-streamed"]
    row = row_of(table, "sid-streamed", "3 epochs")
    assert (row[ACTIVATIONS], row["activations / BP"], row[LAST]) == ("2.00", "0.250", "90.0")


@pytest.mark.parametrize(
    "axes", [{"batch_size": 32}, {"hidden": 64}, {"width": 64}, {"depth": 8, "modules": 8}, {"optimizer": "sgd"}]
)
def test_costs_of_another_cell_are_not_beside_an_accuracy(axes: dict[str, Any]) -> None:
    table = summary_of([timed("bp", 8, **axes), *trained("bp", 0.9)])
    assert len(table) == 2
    for column in (ACTIVATIONS, LAST):
        assert (table[column] == ABSENT).sum() == 1
    assert not ((table[ACTIVATIONS] != ABSENT) & (table[LAST] != ABSENT)).any()


def test_smaller_costs_stand_beside_the_accuracy_of_their_cell() -> None:
    records = [timed("bp", 64, depth=16, modules=16), timed("bp", 4), *trained("bp", 0.9)]
    table = summary_of(records)
    assert row_of(table, "bp", "depth 16")[[ACTIVATIONS, LAST]].tolist() == ["64.0", ABSENT]
    assert row_of(table, "bp", "depth 4")[[ACTIVATIONS, LAST]].tolist() == ["4.00", "90.0"]


def test_an_accuracy_of_the_largest_cell_stands_beside_its_costs_even_if_another_has_more() -> None:
    large = {"depth": 16, "modules": 16}
    records = [timed("bp", 64, **large), *trained("bp", 0.7, seeds=1, **large), *trained("bp", 0.9, seeds=5)]
    table = summary_of(records)
    assert row_of(table, "bp", "depth 16")[[ACTIVATIONS, LAST]].tolist() == ["64.0", "70.0"]
    assert row_of(table, "bp", "depth 4")[[ACTIVATIONS, LAST]].tolist() == [ABSENT, "90.0"]


def test_costs_without_those_of_bp_are_shown_beside_an_accuracy() -> None:
    table = summary_of([timed("sid-streamed", 2), *trained("sid-streamed", 0.9)])
    assert table[[ACTIVATIONS, "step latency / BP [95 %]", LAST]].to_numpy().tolist() == [
        ["2.00", "0.90 [0.80, 1.00] (1 process)", "90.0"]
    ]
    assert "activations / BP" not in table


def test_plain_bp_is_in_the_summary_and_compared_with_bp_on_all_modules() -> None:
    records = [
        *trained("bp", 0.6, seeds=5),
        *trained("sid-streamed", 0.62, seeds=5),
        *trained("bp", 0.8, seeds=5, modules=1),
        *trained("sid-streamed", 0.9, seeds=5, modules=1),
    ]
    table = summary_of(records)
    assert table["method"].tolist() == ["bp", "sid-streamed", "bp"]
    plain = row_of(table, "bp", "modules 1")
    assert plain[LAST] == "80.0"
    assert re.fullmatch(r"\+20\.0 \[.*\] better \(5 seeds, 200 images\)", plain[DIFFERENCE])
    assert row_of(table, "bp", "modules 4")[DIFFERENCE] == "baseline"


def test_plain_bp_alone_is_the_baseline() -> None:
    table = summary_of([*trained("bp", 0.8, modules=1), *trained("sid-streamed", 0.9)])
    assert row_of(table, "bp", "modules 1")[LAST] == "80.0"
    assert row_of(table, "sid-streamed", "modules 4")[LAST] == "90.0"


def test_costs_of_plain_bp_stand_beside_the_largest_cell() -> None:
    sizes = {"depth": 16, "batch_size": 64}
    records = [timed("bp", 64, modules=16, **sizes), timed("sid-streamed", 8, modules=16, **sizes)]
    records += [timed(method, 32, modules=1, **sizes) for method in ("bp", "sid-streamed")]
    table = summary_of([*records, timed("bp", 9, depth=4, modules=1)])
    assert table[["method", ACTIVATIONS]].to_numpy().tolist() == [
        ["bp", "64.0"],
        ["sid-streamed", "8.00"],
        ["bp", "32.0"],
    ]


def test_sgd_and_the_longest_run_are_in_the_summary_with_plain_bp_of_each() -> None:
    records = [*trained("deep-supervision", 0.5), *trained("bp-label-smoothing", 0.5)]
    runs = [("adam", 10), ("adam", 100), ("sgd", 10), ("adam", 50), ("sgd", 5)]
    for place, (optimizer, epochs) in enumerate(runs):
        for modules, accuracy in ((4, 0.6), (1, 0.8)):
            axes = {"optimizer": optimizer, "epochs": epochs, "modules": modules}
            records += trained("bp", accuracy + place / 100, **axes)
    table = summary_of(records)
    of_bp = table[table["method"] == "bp"]
    assert of_bp[LAST].tolist() == ["60.0", "80.0", "61.0", "81.0", "62.0", "82.0"]
    assert of_bp["cell"].str.contains("sgd").tolist() == [False] * 4 + [True] * 2


def test_of_several_learning_rates_the_one_with_bps_best_validation_is_shown() -> None:
    records = trained("bp", 0.6) + trained("sid-streamed", 0.7)
    for rate, accuracy in ((0.01, 0.65), (0.1, 0.8), (0.5, 0.3)):
        records += trained("bp", accuracy, optimizer="sgd", learning_rate=rate)
        records += trained("sid-streamed", 1 - accuracy, optimizer="sgd", learning_rate=rate)
    table = summary_of(records)
    assert row_of(table, "bp", "sgd")[LAST] == "80.0"
    assert row_of(table, "sid-streamed", "sgd")[LAST] == "20.0"


def test_the_chosen_epoch_stands_beside_the_last_one() -> None:
    records = trained("bp", 0.7, chosen=0.9, noise_rate=0.4) + trained(
        "sid-streamed", 0.75, chosen=0.85, noise_rate=0.4
    )
    row = row_of(summary_of(records), "sid-streamed")
    assert row["accuracy, noise 0.4, last epoch, %"] == "75.0"
    assert row["accuracy, noise 0.4, chosen epoch, %"] == "85.0"
    assert row["minus BP's, noise 0.4, last epoch, points"].startswith("+5.0 [")
    assert row["minus BP's, noise 0.4, chosen epoch, points"].startswith("-5.0 [")


def test_an_old_record_with_noise_has_no_chosen_epoch() -> None:
    records = [
        make_record({"method": method, "noise_rate": rate, "seed": seed, "passes": ["accuracy"]}, accuracy=accuracy)
        for method, accuracy in (("bp", 0.7), ("sid-streamed", 0.8))
        for rate in (0.0, 0.4)
        for seed in (0, 1)
    ]
    table = summary_of(records)
    assert CHOSEN in table
    assert "accuracy, noise 0.4, last epoch, %" in table
    assert not any("noise 0.4, chosen" in column for column in table)


CELLS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["bp", "sid-streamed", "deep-supervision"]),
        "depth": st.sampled_from([2, 4]),
        "modules": st.sampled_from([1, 2]),
        "hidden": st.sampled_from([8, 16]),
        "batch_size": st.sampled_from([4, 8]),
        "optimizer": st.sampled_from(["adam", "sgd"]),
        "network": st.sampled_from(["cascade-linear", "pipeline-linear"]),
    }
)
STEP = ("network", "method", "depth", "modules", "hidden", "batch_size", "optimizer")


def step_of(cell: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(cell[name] for name in STEP)


def run_of(accuracy: tuple[dict[str, Any], int]) -> tuple[Any, ...]:
    cell, epochs = accuracy
    return (*step_of(cell), epochs)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(CELLS, max_size=8, unique_by=step_of),
    st.lists(
        st.tuples(CELLS, st.sampled_from([1, 5])),
        max_size=8,
        unique_by=run_of,
    ),
)
@pytest.mark.long
def test_each_number_of_a_row_was_measured_on_the_cell_that_the_row_names(
    costs: list[dict[str, Any]], accuracies: list[tuple[dict[str, Any], int]]
) -> None:
    sizes = {step_of(cell): 1 + index for index, cell in enumerate(costs)}
    shares = {run_of(accuracy): (1 + index) / IMAGES for index, accuracy in enumerate(accuracies)}
    records = [timed(cell["method"], 1 + index, **_rest(cell)) for index, cell in enumerate(costs)]
    for (cell, epochs), share in zip(accuracies, shares.values(), strict=True):
        records += trained(cell["method"], share, epochs=epochs, **_rest(cell))
    if not records:
        return
    table = summary_of(records)
    assert not table.duplicated(["network", "cell", "method"]).any()
    for _, row in table.iterrows():
        words = row["cell"].split(", ")
        numbers = {word.split()[0]: int(word.split()[1]) for word in words if word.split()[0] in ("depth", "batch")}
        modules = next((int(word.split()[1]) for word in words if word.startswith("modules ")), None)
        hidden = next((int(word.split()[1]) for word in words if word.startswith("hidden ")), None)
        optimizer = "sgd" if "sgd" in words else "adam"
        step = (row["network"], row["method"], numbers["depth"], modules, hidden, numbers["batch"], optimizer)
        epochs = next((int(word.split()[0]) for word in words if word.endswith((" epoch", " epochs"))), None)
        expected = f"{sizes[step]}.00" if step in sizes else ABSENT
        assert row.get(ACTIVATIONS, ABSENT) == expected
        share = shares.get((*step, epochs))
        assert row.get(LAST, ABSENT) == (ABSENT if share is None else f"{100 * share:.1f}")


def _rest(cell: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in cell.items() if name != "method"}
