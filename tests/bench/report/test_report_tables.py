"""The report's numbers against numbers computed by hand."""

import numpy as np
import pandas as pd
import pytest
from record_builder import made_data, make_record
from scipy import stats

from bench.analysis.frame import layout, ordered_series, records_frame, slices
from bench.config.networks import network_names
from bench.report.tables.layouts import layouts_table
from bench.report.tables.measured import (
    accuracy_table,
    category_table,
    cost_table,
    difference_text,
    failure_table,
    growth_table,
    mebibytes,
)
from bench.report.tables.summary import summary_table
from bench.store.record import Record


@pytest.fixture(scope="module")
def frame(made_records: list[Record]) -> pd.DataFrame:
    return records_frame(made_records)


def test_memory_is_compared_with_bp_on_the_same_cell(frame: pd.DataFrame) -> None:
    streamed = frame[(frame["method"] == "sid-streamed") & frame["has_memory"]].set_index("depth")
    assert streamed.loc[4, "memory.activation_ratio"] == pytest.approx(100 / 4000)
    assert set(frame.loc[(frame["method"] == "bp") & frame["has_memory"], "memory.activation_ratio"]) == {1.0}


def test_a_cell_without_bps_twin_has_no_ratio() -> None:
    lonely = records_frame([make_record({"method": "sid-streamed", "passes": ["memory"]}, 100)])
    assert lonely["memory.activation_ratio"].isna().all()
    assert cost_table(lonely)["activations / BP"].tolist() == ["not measured"]


def test_the_summary_shows_the_largest_configuration_and_names_it(frame: pd.DataFrame) -> None:
    table, note = summary_table(frame)
    rows = table.set_index("method")
    assert rows.loc["sid-streamed", "activations / BP"] == f"{100 / 64000:.3f}"
    assert rows.loc["sid-streamed", "step latency / BP [95 %]"] == "0.90 [0.85, 0.95]"
    assert "depth 64, 64 modules, hidden 256, batch 512" in note


def test_accuracy_differences_are_paired_by_seed(frame: pd.DataFrame) -> None:
    table, _ = summary_table(frame)
    rows = table.set_index("method")
    assert rows.loc["sid-streamed", "minus BP's, noise 0.4, points [95 %]"] == "+2.0 [+2.0, +2.0]"
    assert rows.loc["bp", "test accuracy, clean, %"] == "91.0"
    detailed = accuracy_table(frame)
    assert set(detailed["seeds"]) == {"3"}
    assert len(detailed) == 6


def test_the_interval_of_a_difference_is_students() -> None:
    differences = np.array([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=differences.mean(), scale=stats.sem(differences))
    assert difference_text(differences) == f"+2.3 [{low:+.1f}, {high:+.1f}]"
    assert difference_text(np.array([1.0])) == "+1.0 (one seed, no interval)"
    assert difference_text(np.array([])) == "not measured"


def test_growth_is_taken_between_the_smallest_and_the_largest_depth(frame: pd.DataFrame) -> None:
    table = growth_table(frame).set_index("method")
    assert table.loc["sid-streamed", "growth"] == "1.000"
    assert table.loc["bp", "growth"] == "16.000"
    assert table.loc["bp", "depths"] == "4 to 64"


@pytest.mark.parametrize(
    ("axis", "points"), [("depth", [4, 16, 64]), ("batch_size", [32, 512]), ("modules", [1, 16, 64])]
)
def test_a_figure_varies_one_axis_only(frame: pd.DataFrame, axis: str, points: list[int]) -> None:
    rows = slices(frame[frame["has_memory"]], axis)
    assert sorted(rows[axis].unique()) == points
    held = {
        "depth": ["layers_per_module", "batch_size"],
        "batch_size": ["depth", "modules"],
        "modules": ["depth", "batch_size"],
    }
    assert all(rows[name].nunique() == 1 for name in held[axis])


def test_a_single_point_is_no_figure(frame: pd.DataFrame) -> None:
    single = frame[frame["has_memory"] & (frame["depth"] == 4)]
    assert slices(single, "depth").empty


def test_a_method_with_several_alphas_has_a_line_for_each() -> None:
    records = [
        make_record({"method": "sid-streamed", "alpha": alpha, "passes": ["memory"]}, 100) for alpha in (0.5, 1.0)
    ]
    assert ordered_series(records_frame(records)) == ["sid-streamed alpha 0.5", "sid-streamed alpha 1"]


def test_another_objective_stands_in_the_name_of_the_line() -> None:
    cells: list[dict[str, object]] = [
        {},
        {"direction": "reverse", "smoothing": 0.1},
        {"direction": "reverse", "smoothing": 0.2},
        {"loss_reduction": "mean"},
    ]
    base: dict[str, object] = {"method": "sid-streamed", "passes": ["memory"]}
    records = [make_record(base | cell, 100) for cell in cells]
    records.append(make_record({"method": "bp", "passes": ["memory"]}, 400))
    frame = records_frame(records)
    assert frame["series"].tolist() == [
        "sid-streamed",
        "sid-streamed direction reverse smoothing 0.1",
        "sid-streamed direction reverse smoothing 0.2",
        "sid-streamed loss-reduction mean",
        "bp",
    ]
    assert frame["memory.activation_ratio"].tolist() == [0.25, 0.25, 0.25, 0.25, 1.0]  # all paired with the one BP
    alone = records_frame([make_record(base | {"direction": "reverse"}, 100)])
    assert alone["series"].tolist() == ["sid-streamed direction reverse"]


def test_another_precision_is_a_line_of_its_own_and_held_against_bp_in_the_same() -> None:
    records = [
        make_record({"method": method, "precision": precision, "passes": ["memory"]}, bytes_)
        for method, precision, bytes_ in [
            ("bp", "float32", 400),
            ("bp", "bfloat16", 300),
            ("sid-streamed", "float32", 100),
            ("sid-streamed", "bfloat16", 150),
        ]
    ]
    frame = records_frame(records)
    assert frame["series"].tolist() == [
        "bp",
        "bp precision bfloat16",
        "sid-streamed",
        "sid-streamed precision bfloat16",
    ]
    assert frame["memory.activation_ratio"].tolist() == [1.0, 1.0, 0.25, 0.5]


def test_alpha_over_depth_is_one_line_at_all_depths() -> None:
    records = [
        make_record({"method": "sid-streamed", "depth": depth, "alpha": alpha, "passes": ["memory"]}, 100)
        for depth in (2, 3)
        for alpha in ("0.9..0.1", 0.5)
    ]
    assert ordered_series(records_frame(records)) == ["sid-streamed alpha 0.5", "sid-streamed alpha 0.9..0.1"]


def test_failures_are_listed_with_their_message_and_measured_nowhere() -> None:
    failed = records_frame([make_record({"passes": ["memory"]}, status="oom", message="no memory")])
    assert failure_table(failed)["message"].tolist() == ["no memory"]
    assert cost_table(failed).empty
    assert accuracy_table(failed).empty


@pytest.mark.parametrize(
    ("size", "text"), [(2**20, "1.00"), (150 * 2**20, "150"), (2**20 // 20, "0.050"), (12.34 * 2**20, "12.3")]
)
def test_mebibytes_have_three_digits(size: float, text: str) -> None:
    assert mebibytes(size) == text


def test_categories_and_workspaces_stand_in_bytes(frame: pd.DataFrame) -> None:
    table = category_table(frame)
    row = table[(table["method"] == "bp") & (table["depth"] == 16)].iloc[0]
    size = 1000 * 16 * 32
    assert row["activation, modules"] == f"{size * 3 // 4:,}"
    assert row["temporary, modules"] == f"{size // 4:,}"
    assert row["activation, trunk"] == "0"
    assert row["parameter"] == f"{size:,}"
    assert row["workspace in operators"] == "5,000"
    assert len(table) == frame["has_memory"].sum()


def test_measured_bytes_stand_over_their_bound_where_the_data_s_shape_is_known() -> None:
    data = {
        "classes": 3,
        "shape": (1, 1, 1),
        "fingerprint": "none",
        **dict.fromkeys(("train_samples", "validation_samples", "test_samples"), 1),
    }
    axes = {"depth": 2, "modules": 2, "width": 4, "hidden": 5, "batch_size": 2, "passes": ["memory"]}
    bound = 4 * 2 * (2 * (7 + 5 + 3) + 5)
    known = make_record({"method": "bp", **axes}, 2 * bound, data=data)
    unknown = make_record({"method": "deep-supervision", **axes}, 2 * bound, data=data)
    table = cost_table(records_frame([known, unknown])).set_index("method")
    assert table.loc["bp", "activations / bound"] == "2.000"
    assert table.loc["deep-supervision", "activations / bound"] == "not measured"


@pytest.mark.parametrize("network", [*network_names(), "elsewhere"])
def test_every_network_is_told_by_its_layout(network: str) -> None:
    assert layout(network) == ("unknown" if network == "elsewhere" else network.partition("-")[0])


def staged(size: int, side: int = 16, **axes: object) -> Record:
    cell = {"network": "pipeline-resnet18", "dataset": "random", "image_size": side, "passes": ["memory"], **axes}
    return make_record(cell, size, data=made_data(side))


def test_stages_of_a_backbone_are_lines_of_their_own() -> None:
    """Five units a module, and four: neither is one layer a module."""
    frame = records_frame(
        [staged(100 * modules, modules=modules, batch_size=batch) for modules in (5, 6, 9) for batch in (8, 16)]
    )
    rows = slices(frame, "batch_size")
    assert rows["modules"].nunique() == 1
    assert rows["panel"].iloc[0] == "pipeline-resnet18 on random 1x16x16\ndepth 9, 9 even stages, hidden 256"


def test_cuts_have_panels_of_their_own_and_rows_that_say_so() -> None:
    methods = ("bp", "sid-streamed")
    frame = records_frame(
        [staged(9, modules=m, cut=cut, method=x) for m in (2, 4) for cut in ("even", "balanced") for x in methods]
    )
    assert set(frame["series"]) == {"bp", "sid-streamed"}
    assert sorted(panel.split("cut ")[-1] for panel in set(slices(frame, "modules")["panel"])) == ["balanced", "even"]
    assert set(cost_table(frame)["cut"]) == {"even", "balanced"}
    assert "cut" not in cost_table(frame[frame["cut"] == "even"])
    _, note = summary_table(frame[frame["cut"] == "balanced"])
    assert note.endswith("on random 1x16x16, balanced cut")


def test_the_summary_takes_the_largest_image_in_whatever_order_records_come() -> None:
    records = [staged(side, side) for side in (16, 32, 24)]
    for order in (records, records[::-1]):
        table, note = summary_table(records_frame(order))
        assert note.endswith("on random 1x32x32")
        assert len(table) == 1


def test_accuracies_of_different_configurations_are_not_averaged() -> None:
    base = {"passes": ["accuracy"], "epochs": 2}
    records = [
        make_record(base | {"train_samples": samples, "seed": seed}, accuracy=accuracy)
        for samples, accuracy in ((100, 0.5), (300, 0.9))
        for seed in (0, 1)
    ]
    table, note = summary_table(records_frame(records))
    assert table["test accuracy, clean, %"].tolist() in (["50.0"], ["90.0"])
    assert "samples" in note
    assert accuracy_table(records_frame(records))["samples"].tolist() == ["100", "300"]


def test_a_backbone_stands_in_both_layouts_beside_each_other() -> None:
    sizes = {"dataset": "random", "image_size": 16, "passes": ["memory", "latency"]}
    cells = [
        {"network": network, "method": method, "modules": modules, "depth": depth} | sizes
        for network, modules, depth in (("cascade-resnet18", 4, 4), ("pipeline-resnet18", 3, 9))
        for method in ("bp", "sid-streamed", *(("sid-vectorised",) if depth == 4 else ("bp-plain",)))
    ]
    bytes_ = [8 * 2**20, 8 * 2**20, 9 * 2**20, 8 * 2**20, 2 * 2**20, 7 * 2**20]
    records = [
        make_record(cell, size, (0.9, 0.8, 1.0), data=made_data(16)) for cell, size in zip(cells, bytes_, strict=True)
    ]
    table = layouts_table(records_frame(records)).set_index("method")
    assert list(table.index) == ["bp", "bp-plain", "sid-streamed", "sid-vectorised"]
    assert table.loc["sid-streamed", "as trunk, 4 modules: / BP"] == "1.000"
    assert table.loc["sid-streamed", "in stages, 3 modules: / BP"] == "0.250"
    assert table.loc["sid-vectorised", "in stages, 3 modules: activations, MiB"] == "not measured"
    assert layouts_table(records_frame(records[:3])).empty


def test_rows_say_what_tells_them_apart_only() -> None:
    frame = records_frame([make_record({"width": width, "passes": ["memory"]}, width) for width in (8, 16)])
    assert cost_table(frame)["width"].tolist() == [8, 16]
    assert "width" not in cost_table(frame.iloc[:1])
