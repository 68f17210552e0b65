"""Every number that comes from a noisy latency is marked."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from record_builder import make_record

from bench.analysis.frame import records_frame
from bench.report.figures.style import Figure
from bench.report.page import draw_figures
from bench.report.tables.costs import cost_table
from bench.report.tables.summary import summary_table
from bench.report.tables.unreliable import unreliable_table
from bench.store.record import Record

WHY = "the interquartile range of the times of BP is 40% of their median, more than 25%"


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


@pytest.mark.parametrize("name", ["latency-against-depth", "memory-against-latency"])
def test_noisy_points_have_open_markers_that_the_caption_explains(name: str) -> None:
    def drawn(frame: pd.DataFrame) -> Figure:
        return next(figure for figure in draw_figures(frame) if figure.name == name)

    quiet, noisy = drawn(made_frame(None)), drawn(made_frame("sid-streamed"))
    assert "Open markers" in noisy.caption
    assert noisy.svg != quiet.svg
    assert noisy.data["verdict"].tolist().count("noisy") == 1
    assert "noisy" not in quiet.data["verdict"].tolist()


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
    figures = [figure for figure in draw_figures(frame) if "latency" in figure.name]
    assert [figure.name for figure in figures] == ["latency-against-depth", "memory-against-latency"]
    for figure in figures:
        assert set(figure.data["over"]) == {text}
    assert "Where the data say 1 process" in figures[0].caption


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
