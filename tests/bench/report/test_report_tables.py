"""The numbers of the report, compared with numbers computed by hand."""

import re

import pandas as pd
import pytest
from made_tables import accuracy_table
from record_builder import made_data, made_inference, make_record

from bench.analysis.frame import layout, records_frame
from bench.analysis.panels import slices
from bench.analysis.series import ordered_series
from bench.config.networks import network_names
from bench.report.tables.costs import cost_table, limited_costs
from bench.report.tables.failures import failure_table
from bench.report.tables.inference import inference_table
from bench.report.tables.layouts import layouts_table
from bench.report.tables.memory import category_table, growth_table
from bench.report.tables.summary import summary_table
from bench.report.tables.text import ABSENT, mebibytes
from bench.store.record import Record


@pytest.fixture(scope="module")
def frame(made_records: list[Record]) -> pd.DataFrame:
    return records_frame(made_records)


def test_memory_is_compared_with_bp_on_the_same_cell(frame: pd.DataFrame) -> None:
    streamed = frame[(frame["method"] == "sid-streamed") & frame["has_memory"]].set_index("depth")
    assert streamed.loc[4, "memory.activation_ratio"] == pytest.approx(100 / 4000)
    assert set(frame.loc[(frame["method"] == "bp") & frame["has_memory"], "memory.activation_ratio"]) == {1.0}


def test_without_bp_on_the_same_cell_there_is_no_ratio() -> None:
    alone = records_frame([make_record({"method": "sid-streamed", "passes": ["memory"]}, 100)])
    assert alone["memory.activation_ratio"].isna().all()
    assert cost_table(alone)["activations / BP"].tolist() == ["not measured"]


def test_accuracy_differences_are_paired_by_seed_and_image(frame: pd.DataFrame) -> None:
    detailed = accuracy_table(frame)
    assert set(detailed["seeds"]) == {"3"}
    assert len(detailed) == 6
    for epoch in ("last", "chosen"):
        differences = detailed.loc[detailed["method"] != "bp", f"{epoch} epoch minus BP's, points"]
        assert all(re.fullmatch(r"\+2\.0 \[.*\] \w+ \(3 seeds, 100 images\)", text) for text in differences)


def test_growth_compares_the_smallest_with_the_largest_depth(frame: pd.DataFrame) -> None:
    table = growth_table(frame).set_index("method")
    assert table.loc["sid-streamed", "growth"] == "1.000"
    assert table.loc["bp", "growth"] == "16.000"
    assert table.loc["bp", "depths"] == "4 to 64"


@pytest.mark.parametrize(
    ("axis", "points"), [("depth", [4, 16, 64]), ("batch_size", [32, 512]), ("modules", [1, 16, 64])]
)
def test_a_figure_varies_only_one_axis(frame: pd.DataFrame, axis: str, points: list[int]) -> None:
    rows = slices(frame[frame["has_memory"]], axis)
    assert sorted(rows[axis].unique()) == points
    fixed = {
        "depth": ["layers_per_module", "batch_size"],
        "batch_size": ["depth", "modules"],
        "modules": ["depth", "batch_size"],
    }
    assert all(rows[name].nunique() == 1 for name in fixed[axis])


def test_a_single_point_is_not_drawn(frame: pd.DataFrame) -> None:
    single = frame[frame["has_memory"] & (frame["depth"] == 4)]
    assert slices(single, "depth").empty


def test_each_alpha_of_a_method_is_a_separate_series() -> None:
    records = [
        make_record({"method": "sid-streamed", "alpha": alpha, "passes": ["memory"]}, 100) for alpha in (0.5, 1.0)
    ]
    assert ordered_series(records_frame(records)) == ["sid-streamed alpha 0.5", "sid-streamed alpha 1"]


def test_the_series_names_objectives_that_are_not_the_default() -> None:
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
    assert frame["memory.activation_ratio"].tolist() == [
        0.25,
        0.25,
        0.25,
        0.25,
        1.0,
    ]  # all are compared with the same BP cell
    alone = records_frame([make_record(base | {"direction": "reverse"}, 100)])
    assert alone["series"].tolist() == ["sid-streamed direction reverse"]


def test_each_precision_is_compared_with_bp_in_the_same_precision() -> None:
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


def test_an_alpha_schedule_is_one_series_at_all_depths() -> None:
    records = [
        make_record({"method": "sid-streamed", "depth": depth, "alpha": alpha, "passes": ["memory"]}, 100)
        for depth in (2, 3)
        for alpha in ("0.9..0.1", 0.5)
    ]
    assert ordered_series(records_frame(records)) == ["sid-streamed alpha 0.5", "sid-streamed alpha 0.9..0.1"]


def test_failures_are_listed_with_their_message_and_have_no_measurement() -> None:
    failed = records_frame([make_record({"passes": ["memory"]}, status="oom", message="no memory")])
    assert failure_table(failed).table["message"].tolist() == ["no memory"]
    assert cost_table(failed).empty
    assert accuracy_table(failed).empty


@pytest.mark.parametrize(
    ("size", "text"), [(2**20, "1.00"), (150 * 2**20, "150"), (2**20 // 20, "0.050"), (12.34 * 2**20, "12.3")]
)
def test_mebibytes_have_three_significant_digits(size: float, text: str) -> None:
    assert mebibytes(size) == text


def test_categories_and_workspaces_are_shown_in_bytes(frame: pd.DataFrame) -> None:
    table = category_table(frame)
    row = table[(table["method"] == "bp") & (table["depth"] == 16)].iloc[0]
    size = 1000 * 16 * 32
    assert row["activation, modules"] == f"{size * 3 // 4:,}"
    assert row["temporary, modules"] == f"{size // 4:,}"
    assert row["activation, trunk"] == "0"
    assert row["parameter"] == f"{size:,}"
    assert row["workspace in operators"] == "5,000"
    assert len(table) == frame["has_memory"].sum()


def test_measured_bytes_are_divided_by_their_bound_if_one_is_known() -> None:
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
def test_every_network_has_the_layout_that_its_name_states(network: str) -> None:
    assert layout(network) == ("unknown" if network == "elsewhere" else network.partition("-")[0])


def staged(size: int, side: int = 16, **axes: object) -> Record:
    cell = {"network": "pipeline-resnet18", "dataset": "random", "image_size": side, "passes": ["memory"], **axes}
    return make_record(cell, size, data=made_data(side))


def test_stages_of_a_backbone_are_not_layers_per_module() -> None:
    """Stages of a backbone may hold different numbers of units, so the title counts stages."""
    frame = records_frame(
        [staged(100 * modules, modules=modules, batch_size=batch) for modules in (5, 6, 9) for batch in (8, 16)]
    )
    rows = slices(frame, "batch_size")
    assert rows["modules"].nunique() == 1
    assert rows["panel"].iloc[0] == "pipeline-resnet18 on random 1x16x16\ndepth 9, 9 even stages, hidden 256"


def test_different_cuts_have_separate_panels_and_a_column() -> None:
    methods = ("bp", "sid-streamed")
    frame = records_frame(
        [staged(9, modules=m, cut=cut, method=x) for m in (2, 4) for cut in ("even", "balanced") for x in methods]
    )
    assert set(frame["series"]) == {"bp", "sid-streamed"}
    assert sorted(panel.split("cut ")[-1] for panel in set(slices(frame, "modules")["panel"])) == ["balanced", "even"]
    assert set(cost_table(frame)["cut"]) == {"even", "balanced"}
    assert "cut" not in cost_table(frame[frame["cut"] == "even"])
    assert "balanced cut" in cell_of(frame[frame["cut"] == "balanced"])


def cell_of(frame: pd.DataFrame) -> str:
    """The text of the only cell of the summary."""
    (text,) = set(summary_table(frame)[0]["cell"])
    return str(text)


def test_the_summary_takes_the_largest_image_in_any_order_of_records() -> None:
    records = [staged(side, side) for side in (16, 32, 24)]
    for order in (records, records[::-1]):
        frame = records_frame(order)
        assert cell_of(frame).startswith("random 1x32x32, ")
        assert len(summary_table(frame)[0]) == 1


def test_accuracies_of_different_configurations_are_not_averaged() -> None:
    base = {"passes": ["accuracy"], "epochs": 2}
    records = [
        make_record(base | {"train_samples": samples, "seed": seed}, accuracy=accuracy)
        for samples, accuracy in ((100, 0.5), (300, 0.9))
        for seed in (0, 1)
    ]
    table, _ = summary_table(records_frame(records))
    assert table["accuracy, clean, last epoch, %"].tolist() in (["50.0"], ["90.0"])
    assert table["cell"].str.endswith(" samples").all()
    assert accuracy_table(records_frame(records))["samples"].tolist() == ["100", "300"]


def test_a_backbone_in_both_layouts_is_one_row_per_method() -> None:
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
    assert table.loc["sid-vectorised", "in stages, 3 modules: activations, MiB"] == ABSENT
    assert layouts_table(records_frame(records[:3])).empty


def test_secondary_columns_are_shown_only_if_their_values_differ() -> None:
    frame = records_frame([make_record({"width": width, "passes": ["memory"]}, width) for width in (8, 16)])
    assert cost_table(frame)["width"].tolist() == [8, 16]
    assert "width" not in cost_table(frame.iloc[:1])


def test_predictions_are_compared_with_those_of_the_plain_network(frame: pd.DataFrame) -> None:
    assert inference_table(frame).table.empty
    noisy = made_inference(3000, 4000, 1.25, noisy_because="a reason")
    records = [
        make_record({"method": "sid-streamed", "passes": ["inference"]}, inference=made_inference(6000, 4000, 2.0)),
        make_record({"method": "bp", "passes": ["inference"]}, inference=noisy),
        make_record({"method": "bp", "passes": ["memory"], "depth": 8}, 100),
    ]
    table = inference_table(records_frame(records)).table.set_index("method")
    assert table.index.tolist() == ["bp", "sid-streamed"]
    streamed = table.loc["sid-streamed"]
    assert (streamed["peak activation bytes"], streamed["peak total bytes"]) == ("3,000", "6,000")
    assert (streamed["activations / plain"], streamed["total / plain"]) == ("1.500", "1.500")
    assert (streamed["prediction, ms"], streamed["samples/s"]) == ("20.000", "6,400")
    assert streamed["time / plain [95 %]"] == "2.00 [1.90, 2.10] (2 processes)"
    assert table.loc["bp", "time / plain [95 %]"] == "1.25 [1.15, 1.35] (2 processes) noisy"


def test_a_limited_table_of_costs_keeps_the_front_of_whole_cells() -> None:
    cells = [{"method": method, "passes": ["memory", "latency"]} for method in ("bp", "sid-published", "sid-streamed")]
    records = [make_record(cell, size, (1.0, 0.9, 1.1)) for cell, size in zip(cells, (100, 90, 50), strict=True)]
    frame = records_frame(records)
    found = limited_costs(frame, most=2)
    assert found.left_out == 1
    whole = cost_table(frame)
    assert found.table["Pareto front"].tolist() == whole["Pareto front"].tolist()[:2]
    assert "sid-streamed" in whole["Pareto front"][1]  # which the table leaves out
