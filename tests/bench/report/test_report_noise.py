"""Every number that comes from a noisy latency is marked."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from record_builder import make_record

from bench.analysis.frame import records_frame
from bench.report.figures.figure import Figure
from bench.report.figures.scaling import scaling_figures
from bench.report.figures.style import look_of
from bench.report.figures.tradeoff import tradeoff_figure
from bench.report.tables.costs import cost_table
from bench.report.tables.summary import summary_table
from bench.report.tables.unreliable import unreliable_table
from bench.store.record import Record

WHY = "the interquartile range of the times of BP is 40 % of their median, more than 25 %"


def made_frame(noisy_method: str | None) -> pd.DataFrame:
    """Return BP and SID at two depths; ``noisy_method`` is noisy at the larger depth."""
    records = []
    for depth in (4, 8):
        for method, ratio in (("bp", 1.0), ("sid-streamed", 0.9)):
            cell: dict[str, Any] = {"method": method, "depth": depth, "modules": depth, "passes": ["memory", "latency"]}
            because = WHY if method == noisy_method and depth == 8 else None
            latency = (ratio, ratio - 0.05, ratio + 0.05)
            records.append(make_record(cell, 1000, latency, noisy_because=because, step_shares=(0.001, 0.002, 0.0005)))
    return records_frame(records)


def ratios(frame: pd.DataFrame) -> dict[tuple[str, int], str]:
    table = cost_table(frame)
    return dict(zip(zip(table["method"], table["depth"], strict=True), table["latency / BP [95 %]"], strict=True))


def test_reliable_latencies_are_not_marked() -> None:
    frame = made_frame(None)
    assert not any("noisy" in text for text in ratios(frame).values())
    assert unreliable_table(frame).table.empty


def test_a_noisy_cell_of_another_method_marks_only_itself() -> None:
    frame = made_frame("sid-streamed")
    assert ratios(frame) == {
        ("bp", 4): "1.00 [0.95, 1.05] (1 process)",
        ("sid-streamed", 4): "0.90 [0.85, 0.95] (1 process)",
        ("bp", 8): "1.00 [0.95, 1.05] (1 process)",
        ("sid-streamed", 8): "0.90 [0.85, 0.95] (1 process) noisy",
    }
    assert unreliable_table(frame).table["reason"].tolist() == [WHY]


def test_a_noisy_cell_of_bp_marks_the_other_methods_on_the_same_cell() -> None:
    frame = made_frame("bp")
    assert [key for key, text in ratios(frame).items() if text.endswith(" noisy")] == [("bp", 8), ("sid-streamed", 8)]
    assert unreliable_table(frame).table["reason"].tolist() == [WHY, f"BP's own cell is noisy: {WHY}"]
    summary, _ = summary_table(frame)
    assert all(text.endswith("] (1 process) noisy") for text in summary["step latency / BP [95 %]"])


def figure_named(name: str, frame: pd.DataFrame) -> Figure:
    figures = (tradeoff_figure(frame, look_of(frame)), *scaling_figures(frame, look_of(frame)))
    return next(figure for figure in figures if figure is not None and figure.name == name)


@pytest.mark.parametrize(("name", "column"), [("latency", "verdict"), ("memory-against-time", "Pareto front")])
@pytest.mark.long
def test_noisy_points_have_open_markers_that_the_caption_explains(name: str, column: str) -> None:
    quiet, noisy = (figure_named(name, made_frame(method)) for method in (None, "sid-streamed"))
    assert "Open marks" in noisy.caption
    verdicts = [verdict for view in noisy.views for verdict in view.data[column]]
    assert sum("noisy" in verdict for verdict in verdicts) == 1
    assert not any("noisy" in verdict for view in quiet.views for verdict in view.data[column])
    for svg, of_quiet in [(noisy.views[0].wide, quiet.views[0].wide), (noisy.views[0].narrow, quiet.views[0].narrow)]:
        assert svg.count("fill:var(--c-ffffff") == of_quiet.count("fill:var(--c-ffffff") + 1


def timed_in(processes: int, **axes: Any) -> Record:
    cell = {"passes": ["memory", "latency"], "processes": processes} | axes
    blocks = [np.full((4, 4), 0.01) for _ in range(processes)]
    return make_record(cell, 1000, (0.9, 0.85, 0.95), blocks=blocks)


@pytest.mark.parametrize(("processes", "text"), [(1, "1 process"), (5, "5 processes")])
def test_every_interval_says_how_many_processes_it_rests_on(processes: int, text: str) -> None:
    methods = ("bp", "sid-streamed")
    frame = records_frame([timed_in(processes, depth=depth, method=method) for depth in (4, 8) for method in methods])
    summary, note = summary_table(frame)
    expected = f"0.90 [0.85, 0.95] ({text})"
    assert set(summary["step latency / BP [95 %]"]) == set(cost_table(frame)["latency / BP [95 %]"]) == {expected}
    assert ("leaves out how processes differ" in note) == (processes == 1)
    for name in ("latency", "memory-against-time"):
        figure = figure_named(name, frame)
        assert {over for view in figure.views for over in view.data["over"]} == {text}
        assert "Where the numbers say 1 process" in figure.caption


def test_costs_show_throughput_and_the_time_of_each_phase() -> None:
    cell = {"method": "bp", "batch_size": 128, "passes": ["latency"]}
    by_hand = {"method": "bp", "batch_size": 64, "passes": ["latency"]}
    records = [
        make_record(cell, latency=(1.0, 0.9, 1.1), step_shares=(0.001, 0.002, 0.0005)),
        make_record(by_hand, latency=(1.0, 0.9, 1.1), step_shares=(0.003, None, 0.0005)),
    ]
    table = cost_table(records_frame(records)).set_index("batch")
    columns = ["samples/s", "forward, ms", "backward, ms", "optimizer, ms"]
    assert table.loc[128, columns].tolist() == ["12,800", "1.000", "2.000", "0.500"]
    assert table.loc[64, columns].tolist() == ["6,400", "3.000", "not measured", "0.500"]
