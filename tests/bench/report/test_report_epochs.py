"""Figures of accuracy: configurations are not mixed in one line, and accuracies are drawn by epoch."""

from typing import Any

import pytest
from record_builder import make_record

from bench.analysis.accuracies import drawn_epochs
from bench.analysis.frame import records_frame
from bench.report.figures.style import Figure
from bench.report.page import draw_figures
from bench.report.tables.accuracy import accuracy_table
from bench.report.tables.memory import growth_table
from bench.store.record import Record


def trained(accuracy: float, by_epoch: tuple[float, ...] = (), **axes: Any) -> Record:
    cell = {"method": "bp", "passes": ["accuracy"], "epochs": max(1, len(by_epoch)), **axes}
    return make_record(cell, accuracy=accuracy, by_epoch=by_epoch)


def figures_of(records: list[Record]) -> dict[str, Figure]:
    return {figure.name: figure for figure in draw_figures(records_frame(records))}


@pytest.mark.parametrize(
    ("axis", "values"),
    [("epochs", (10, 100)), ("batch_size", (32, 64)), ("learning_rate", (1e-3, 1e-2)), ("train_samples", (50, None))],
)
def test_different_configurations_have_separate_panels(axis: str, values: tuple[Any, ...]) -> None:
    records = [
        trained(accuracy, **{"epochs": 10, axis: value}, noise_rate=rate)
        for value, accuracy in zip(values, (0.9, 0.5), strict=True)
        for rate in (0.0, 0.4)
    ]
    shown = figures_of(records)["accuracy-against-noise"].data
    assert shown["where"].nunique() == 2
    for _, panel in shown.groupby("where"):
        assert panel["test accuracy, %"].nunique() == 1  # not averaged over both
    assert all(axis.replace("_", " ") in where for where in shown["where"])


def test_the_accuracy_table_shows_epochs_and_batch_size() -> None:
    table = accuracy_table(records_frame([trained(0.9, epochs=10), trained(0.5, epochs=100, batch_size=32)]))
    assert dict(zip(table["epochs"], table["batch"], strict=True)) == {10: 128, 100: 32}


def test_accuracy_by_epoch_is_drawn_at_the_highest_noise_rate() -> None:
    falling, rising = (0.2, 0.9, 0.8, 0.6), (0.2, 0.5, 0.7, 0.9)
    records = [
        trained(curve[-1], curve, method=method, noise_rate=rate, seed=seed)
        for method, curve in (("bp", falling), ("sid-streamed", rising))
        for rate in (0.0, 0.2, 0.4)
        for seed in (0, 1)
    ]
    figure = figures_of(records)["accuracy-by-epoch"]
    found = figure.data.set_index(["method", "epoch"])["mean test accuracy, %"].astype(float).to_dict()
    curves = (("bp", falling), ("sid-streamed", rising))
    assert found == {
        (method, at): pytest.approx(100 * share) for method, curve in curves for at, share in enumerate(curve, 1)
    }
    assert set(figure.data["noise rate"]) == {"0.4"}
    assert "bp from 20.0 % to 60.0 %" in figure.alternative


def test_a_single_epoch_is_not_drawn_by_epoch() -> None:
    assert "accuracy-by-epoch" not in figures_of([trained(0.9, noise_rate=rate) for rate in (0.0, 0.4)])


@pytest.mark.parametrize("epochs", [2, 3, 10, 12, 13, 100, 1000])
def test_at_most_twelve_epochs_are_drawn_including_the_first_and_the_last(epochs: int) -> None:
    drawn = drawn_epochs(epochs)
    assert drawn == sorted(set(drawn))
    assert (drawn[0], drawn[-1]) == (1, epochs)
    assert len(drawn) <= 12


def test_growth_with_depth_is_computed_per_width() -> None:
    records = []
    for width, size in ((8, 1000), (16, 7000)):
        for depth in (2, 4):
            cell = {"method": "bp", "depth": depth, "width": width, "dataset": "random", "passes": ["memory"]}
            records.append(make_record(cell, memory=size * depth))
    table = growth_table(records_frame(records))
    assert list(table["width"]) == [8, 16]
    assert list(table["growth"]) == ["2.000", "2.000"]
