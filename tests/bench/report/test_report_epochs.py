"""Figures of accuracy: configurations are not mixed in one line; accuracy against noise, by epoch and by module."""

from typing import Any

import pytest
from drawn_views import check_figures
from made_tables import accuracy_table
from record_builder import make_record

from bench.analysis.accuracies import accuracy_rows, by_module, drawn_epochs, over_seeds
from bench.analysis.frame import records_frame
from bench.analysis.theory import expected_divergences
from bench.analysis.trained import trained_methods
from bench.report.figures.figure import Figure
from bench.report.figures.learning import draw_by_epoch
from bench.report.figures.modules import draw_by_module
from bench.report.figures.noise import draw_against_noise
from bench.report.figures.style import look_of
from bench.report.figures.wrong_labels import draw_wrong_labels
from bench.report.sections.accuracy import draw_accuracies
from bench.report.tables.cells import in_order
from bench.report.tables.memory import growth_table
from bench.store.measurements.accuracy import Beliefs, WrongLabels
from bench.store.record import Record


def trained(accuracy: float, by_epoch: tuple[float, ...] = (), **axes: Any) -> Record:
    cell = {"method": "bp", "passes": ["accuracy"], "epochs": max(1, len(by_epoch)), **axes}
    return make_record(cell, accuracy=accuracy, by_epoch=by_epoch)


def drawn(draw: Any, records: list[Record]) -> Any:
    rows = accuracy_rows(records_frame(records))
    return draw(rows, look_of(rows))


def figure_of(draw: Any, records: list[Record]) -> Figure:
    figure = drawn(draw, records)
    assert isinstance(figure, Figure)
    check_figures([figure])
    return figure


@pytest.mark.parametrize(
    ("axis", "values"),
    [("epochs", (10, 100)), ("batch_size", (32, 64)), ("learning_rate", (1e-3, 1e-2)), ("train_samples", (50, None))],
)
def test_different_configurations_have_separate_views(axis: str, values: tuple[Any, ...]) -> None:
    records = [
        trained(accuracy, **{"epochs": 10, axis: value}, noise_rate=rate)
        for value, accuracy in zip(values, (0.9, 0.5), strict=True)
        for rate in (0.0, 0.4)
    ]
    figure = figure_of(draw_against_noise, records)
    assert len(figure.views) == 2
    for view in figure.views:
        assert view.data["test accuracy, %"].nunique() == 1  # not averaged over both
        assert axis.replace("_", " ") in view.choice


def test_the_accuracy_table_shows_epochs_and_batch_size() -> None:
    table = accuracy_table(records_frame([trained(0.9, epochs=10), trained(0.5, epochs=100, batch_size=32)]))
    assert dict(zip(table["epochs"], table["batch"], strict=True)) == {10: 128, 100: 32}


def test_accuracy_against_noise_says_how_far_each_method_falls() -> None:
    records = [
        trained(accuracy - drop * rate + seed / 100, method=method, noise_rate=rate, seed=seed)
        for method, accuracy, drop in (("bp", 0.9, 1.0), ("sid-streamed", 0.88, 0.5))
        for rate in (0.0, 0.2, 0.4)
        for seed in (0, 1, 2)
    ]
    (view,) = figure_of(draw_against_noise, records).views
    assert view.finding == (
        "From 0 to 40 % label noise, bp falls from 91.0 to 51.0 % at the last epoch; sid-streamed from 89.0 to 69.0 %."
    )
    row = view.data.iloc[0]
    assert row.tolist()[:6] == ["bp", "0", "91.0", "90.0", "92.0", "3 seeds"]


def test_the_chosen_epoch_has_a_view_of_its_own_where_records_hold_it() -> None:
    def noisy(rate: float) -> Record:
        return make_record(
            {"method": "bp", "passes": ["accuracy"], "noise_rate": rate},
            correct=[True] * 6 + [False] * 4,
            correct_chosen=[True] * 8 + [False] * 2,
        )

    last, chosen = figure_of(draw_against_noise, [noisy(0.0), noisy(0.4)]).views
    assert set(last.data["test accuracy, %"]) == {"60.0"}
    assert set(chosen.data["test accuracy, %"]) == {"80.0"}
    assert "chosen epoch" in chosen.finding


def test_one_noise_rate_is_not_drawn_against_noise() -> None:
    assert drawn(draw_against_noise, [trained(0.9, noise_rate=0.4)]) is None


FALLING, RISING = (0.2, 0.9, 0.8, 0.6), (0.2, 0.5, 0.7, 0.9)


def test_the_finding_by_epoch_says_who_falls_after_the_best_epoch() -> None:
    records = [
        trained(curve[-1], curve, method=method, noise_rate=rate, seed=seed)
        for method, curve in (("sid-streamed", RISING), ("bp", FALLING))
        for rate in (0.0, 0.4)
        for seed in (0, 1)
    ]
    noisy, clean = figure_of(draw_by_epoch, records).views
    assert noisy.finding == (
        "With 40 % label noise, bp falls from 90.0 to 60.0 % after epoch 2; sid-streamed ends at 90.0 %."
    )
    assert "no label noise" in clean.finding
    found = noisy.data.set_index(["method", "epoch"])["test accuracy, %"].astype(float).to_dict()
    curves = (("bp", FALLING), ("sid-streamed", RISING))
    assert found == {
        (method, str(at)): pytest.approx(100 * share) for method, curve in curves for at, share in enumerate(curve, 1)
    }


def test_a_fall_within_the_margin_is_no_fall() -> None:
    curve = (0.2, 0.904, 0.9)
    (view,) = figure_of(draw_by_epoch, [trained(curve[-1], curve)]).views
    assert view.finding == "With no label noise, bp ends at 90.0 %."


def test_the_best_epoch_is_drawn_even_where_few_epochs_are() -> None:
    curve = tuple(0.9 if epoch == 63 else 0.5 for epoch in range(100))
    (view,) = figure_of(draw_by_epoch, [trained(curve[-1], curve)]).views
    assert view.finding == "With no label noise, bp falls from 90.0 to 50.0 % after epoch 64."
    assert view.data["epoch"].tolist() == [str(epoch) for epoch in sorted({*drawn_epochs(100), 64})]


def test_a_single_epoch_is_not_drawn_by_epoch() -> None:
    assert drawn(draw_by_epoch, [trained(0.9, noise_rate=rate) for rate in (0.0, 0.4)]) is None


@pytest.mark.parametrize("epochs", [2, 3, 10, 12, 13, 100, 1000])
def test_at_most_twelve_epochs_are_chosen_including_the_first_and_the_last(epochs: int) -> None:
    chosen = drawn_epochs(epochs)
    assert chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (1, epochs)
    assert len(chosen) <= 12


def by_module_of(records: list[Record]) -> list[Figure]:
    figures = drawn(draw_by_module, records)
    check_figures(figures)
    return list(figures)


def test_the_divergence_by_module_is_drawn_with_the_line_of_the_theory() -> None:
    cell = {"method": "sid-streamed", "alpha": 0.5, "passes": ["accuracy"], "depth": 4}
    bp = make_record({"method": "bp", "passes": ["accuracy"], "depth": 4}, accuracy=0.9, kl=[None, None, None, 0.3])
    sid = make_record(cell, accuracy=0.9, kl=[0.8, 0.5, 0.3, 0.2])
    (figure,) = by_module_of([bp, sid])
    divergence, accuracy = figure.views
    assert divergence.finding == (
        "Divergence from the label, module 1 to 4: sid-streamed 0.8 to 0.2 nats (theory: 0.1); bp 0.3 nats at module 4."
    )
    assert ">theory 0.1<" in divergence.wide
    assert "theory" not in accuracy.wide
    assert divergence.data["method"].tolist() == ["sid-streamed"] * 3 + ["bp", "sid-streamed"]


def lines_of_theory(kl: list[float | None], **axes: Any) -> dict[str, tuple[list[int], list[float]]]:
    cell = {"method": "sid-streamed", "passes": ["accuracy"], "depth": len(kl), "modules": len(kl)} | axes
    rows = accuracy_rows(records_frame([make_record(cell, accuracy=0.9, kl=kl)]))
    return expected_divergences(rows, over_seeds(by_module(rows, "accuracy.kl_by_module"), "module"))


@pytest.mark.parametrize(
    "axes", [{"alpha": 1.0}, {"direction": "reverse"}, {"method": "bp"}, {"alpha": (1.0, 1.0, 1.0, 1.0)}]
)
def test_without_a_bound_there_is_no_line(axes: dict[str, Any]) -> None:
    assert lines_of_theory([0.8, 0.5, 0.3, 0.2], **axes) == {}


def test_without_a_divergence_of_the_first_module_there_is_no_line() -> None:
    assert lines_of_theory([None, 0.5, 0.3]) == {}


@pytest.mark.parametrize(
    ("alpha", "line"), [(0.5, [0.8, 0.4, 0.2]), ((0.9, 0.5, 0.75), [0.8, 0.4, 0.1]), ((0.9, 0.5, 1.0), None)]
)
def test_each_module_of_the_line_has_its_own_alpha(alpha: Any, line: list[float] | None) -> None:
    found = lines_of_theory([0.8, 0.5, 0.3], alpha=alpha)
    assert found == ({} if line is None else {"sid-streamed": ([1, 2, 3], pytest.approx(line))})


def test_a_diverged_run_and_a_divergence_of_zero_are_left_out() -> None:
    cell = {"passes": ["accuracy"], "depth": 2, "modules": 2}
    diverged = make_record(cell | {"method": "bp"}, accuracy=0.1, kl=[None, None])
    (figure,) = by_module_of([diverged, make_record(cell | {"method": "sid-streamed"}, accuracy=0.9, kl=[0.5, 0.0])])
    divergence = figure.views[0]
    assert divergence.data["method"].tolist() == ["sid-streamed"]


def test_networks_of_one_module_are_not_drawn_by_module() -> None:
    assert by_module_of([trained(0.9, modules=1)]) == []


def with_details(method: str, learned: float, seed: int = 0) -> Record:
    record = make_record(
        {"method": method, "passes": ["accuracy"], "depth": 2, "modules": 2, "noise_rate": 0.4, "seed": seed},
        accuracy=0.8,
    )
    assert record.accuracy is not None
    wrong = WrongLabels(images=50, learned_share=learned, corrected_share=0.9 - learned, other_share=0.1)
    beliefs = Beliefs(
        calibration_error=[0.2, 0.1],
        changed_share=[None, 0.05],
        descent_violated_share=[None, None],
        descent_excess=[None, None],
    )
    details = {"wrong_labels_last": wrong, "beliefs_last": beliefs}
    return record.model_copy(update={"accuracy": record.accuracy.model_copy(update=details)})


def test_what_was_learned_of_wrong_labels_is_drawn() -> None:
    records = [with_details("sid-streamed", 0.1, seed) for seed in (0, 1)] + [with_details("bp", 0.6)]
    (view,) = figure_of(draw_wrong_labels, records).views
    assert view.finding == "Share of wrong labels learned by the last epoch: bp 60.0 %; sid-streamed 10.0 %."
    assert view.data.iloc[0].tolist()[:6] == ["bp", "last", "60.0", "30.0", "10.0", "1 seed"]
    assert view.data["over"].tolist() == ["1 seed", "2 seeds"]


def test_calibration_is_drawn_by_module_where_records_hold_it() -> None:
    figures = by_module_of([with_details("sid-streamed", 0.1)])
    assert [figure.name for figure in figures] == ["belief-by-module", "calibration-by-module"]
    error, changed = figures[1].views
    assert error.data["expected calibration error, %"].tolist() == ["20.0", "10.0"]
    assert changed.data["module"].tolist() == ["2"]  # the first has none before it
    assert error.finding == "Calibration error, module 1 to 2: sid-streamed 20.0 to 10.0 %."


def test_records_without_details_have_neither() -> None:
    records = [trained(0.9, noise_rate=0.4, depth=2, modules=2)]
    assert drawn(draw_wrong_labels, records) is None
    assert [figure.name for figure in by_module_of(records)] == ["belief-by-module"]


def test_plain_bp_and_bp_on_all_modules_look_different() -> None:
    records = [trained(curve[-1], curve, modules=modules) for curve, modules in ((FALLING, 4), (RISING, 1))]
    frame = records_frame(records)
    figures = draw_accuracies(frame, trained_methods(in_order(frame)))
    check_figures(figures)
    view = next(figure for figure in figures if figure.name == "accuracy-by-epoch").views[0]
    assert set(view.data["method"]) == {"bp", "bp, 1 module"}
    assert "bp falls from 90.0 to 60.0 % after epoch 2" in view.finding


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_extreme_accuracies_are_drawn(share: float) -> None:
    records = [trained(share, (share, share), noise_rate=rate) for rate in (0.0, 1.0)]
    assert figure_of(draw_against_noise, records).views[0].data["lowest seed"].tolist() == [f"{100 * share:.1f}"] * 2


def test_growth_with_depth_is_computed_per_width() -> None:
    records = []
    for width, size in ((8, 1000), (16, 7000)):
        for depth in (2, 4):
            cell = {"method": "bp", "depth": depth, "width": width, "dataset": "random", "passes": ["memory"]}
            records.append(make_record(cell, memory=size * depth))
    table = growth_table(records_frame(records))
    assert list(table["width"]) == [8, 16]
    assert list(table["growth"]) == ["2.000", "2.000"]


@pytest.mark.parametrize("name", [r"a$\foo$b $x_1$", "50 % {} _^ a <b> & 'c'"])
def test_any_name_of_a_data_set_is_a_choice(name: str) -> None:
    (view,) = figure_of(
        draw_against_noise, [trained(0.9, dataset=f"image-folder:{name}", noise_rate=rate) for rate in (0.0, 0.4)]
    ).views
    assert f"image-folder:{name}" in view.choice


@pytest.mark.parametrize("accuracy", [5 / 9, 1 / 3, 0.1])
def test_seeds_with_equal_accuracies_have_no_range(accuracy: float) -> None:
    records = [trained(accuracy, noise_rate=rate, seed=seed) for rate in (0.0, 0.4) for seed in range(3)]
    (view,) = figure_of(draw_against_noise, records).views
    assert set(view.data["lowest seed"]) == set(view.data["highest seed"]) == {f"{100 * accuracy:.1f}"}


def test_each_mark_belongs_to_the_record_with_the_least_seed() -> None:
    records = [
        with_details(method, 0.1 + seed / 100, seed) for seed in (2, 0, 1) for method in ("sid-streamed", "bp")
    ] + [trained(0.9, RISING, depth=2, modules=2, noise_rate=0.4, seed=seed) for seed in (5, 3)]
    records += [
        trained(curve[-1], curve, method=method, noise_rate=rate, seed=seed)
        for method, curve in (("bp", FALLING), ("sid-streamed", RISING))
        for rate in (0.0, 0.4)
        for seed in (4, 1, 7)
    ]
    by_id = {record.id: record for record in records}
    frame = records_frame(records)
    figures = draw_accuracies(frame, trained_methods(in_order(frame)))
    check_figures(figures)
    names = {"accuracy-difference", "accuracy-against-noise", "accuracy-by-epoch", "belief-by-module", "wrong-labels"}
    assert {figure.name for figure in figures} == names
    for view in (view for figure in figures for view in figure.views):
        for method, over, cell in zip(view.data["method"], view.data["over"], view.cells, strict=True):
            record = by_id[cell]
            assert record.cell.method == method
            seeds = {other.cell.seed for other in records if alike(other, record)}
            assert record.cell.seed == min(seeds)
            assert "seeds" not in over or over.startswith(f"{len(seeds)} seeds") or over == "over 3 seeds only"


def alike(one: Record, other: Record) -> bool:
    """Whether two records differ in the seed at most."""
    return one.cell.model_dump(exclude={"seed"}) == other.cell.model_dump(exclude={"seed"})
