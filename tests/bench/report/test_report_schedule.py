"""Module schedules: which cells are drawn, and the contents of the figure and the table."""

from typing import Any

import pandas as pd
import pytest
from record_builder import in_a_row, made_ranks, made_trace, make_record

from bench.analysis.frame import records_frame
from bench.report.figures.schedule import draw_schedules
from bench.report.tables.locking import locking_table
from bench.store.record import Record

BP = in_a_row(("f", 0.001), ("f1", 0.001), ("f2", 0.001), ("b2", 0.002), ("b1", 0.002), ("b", 0.001), ("s", 0.002))
STREAMED = in_a_row(("f1", 0.001), ("b1", 0.002), ("f2", 0.001), ("b2", 0.002), ("s", 0.002))
AT_ONCE = in_a_row(("f", 0.001), ("b", 0.002), ("s", 0.001))
ON_TWO_RANKS = made_trace(
    (0, 1, "f", 0.0, 0.001), (0, 1, "b", 0.001, 0.003), (0, None, "s", 0.003, 0.004),
    (1, None, "w", 0.0, 0.001), (1, 2, "f", 0.001, 0.002), (1, 2, "b", 0.002, 0.004), (1, None, "s", 0.004, 0.005),
)  # fmt: skip


def traced(method: str, trace: dict[str, Any] | None, modules: int = 2, **fields: Any) -> Record:
    network = fields.pop("network", "cascade-linear")
    cell = {"method": method, "network": network, "modules": modules, "passes": ["latency"]}
    cell |= {} if network.startswith("pipeline") else {"depth": modules}
    cell |= {"latency_seconds": fields.pop("latency_seconds", 2.0)}
    return make_record(cell, latency=(1.0, 0.9, 1.1), trace=trace, **fields)


def frame_of(*records: Record) -> pd.DataFrame:
    return records_frame(records)


def test_the_table_shows_complete_gradients_and_locked_time() -> None:
    frame = frame_of(traced("bp", BP), traced("sid-streamed", STREAMED), traced("sid-vectorised", AT_ONCE))
    rows = locking_table(frame).set_index("method")
    assert rows.loc["bp", "traced step, ms"] == "10.000"
    assert rows.loc["bp", "gradient of module 1 complete, % of the step"] == "70.0"
    assert rows.loc["bp", "module 1 locked, % of the step"] == "30.0"
    assert rows.loc["bp", "locked, mean over modules, %"] == "15.0"
    assert rows.loc["sid-streamed", "gradient of module 1 complete, % of the step"] == "37.5"
    assert rows.loc["sid-streamed", "module 1 locked, % of the step"] == "0.0"
    assert set(rows["waiting for other ranks, % of time"]) == {"one rank"}
    assert rows.loc["sid-vectorised", "module 1 locked, % of the step"] == "modules not separate"
    assert list(rows.index) == ["bp", "sid-streamed", "sid-vectorised"]
    (figure,) = draw_schedules(frame)
    assert figure.data.loc[figure.data["method"] == "sid-vectorised", "module"].tolist() == ["all modules"] * 3


def test_the_figure_has_one_panel_per_method_and_lists_its_spans() -> None:
    (figure,) = draw_schedules(frame_of(traced("bp", BP), traced("sid-streamed", STREAMED)))
    assert figure.name == "module-schedule-cascade-linear"
    assert "cascade-linear (cascade), 2 modules" in figure.title
    assert "complete after 70 % of the step, and the module is locked for 30 % of the step" in figure.alternative
    assert len(figure.data) == 7 + 5
    last_of_bp = figure.data.iloc[6]
    assert last_of_bp.tolist() == ["bp", 0, "trunk, rest", "optimizer", "8.0000", "10.0000"]
    for text in (">bp<", ">sid-streamed<", ">forward<", ">backward<", ">optimizer<", ">ms<"):
        assert text in figure.svg
    assert "waiting for another rank" not in figure.svg


def test_the_cell_with_the_most_modules_up_to_16_is_drawn() -> None:
    records = [traced(method, STREAMED, modules) for method in ("bp", "sid-streamed") for modules in (2, 16, 32)]
    records.append(traced("sid-streamed", STREAMED, 8))
    (figure,) = draw_schedules(frame_of(*records))
    assert "16 modules" in figure.title


def test_a_cell_with_bp_is_preferred() -> None:
    (figure,) = draw_schedules(frame_of(traced("sid-streamed", STREAMED, 8), traced("bp", BP, 2)))
    assert "2 modules" in figure.title


def test_each_network_has_a_figure_that_names_its_layout() -> None:
    frame = frame_of(traced("bp", BP), traced("bp", BP, network="pipeline-conv"))
    first, second = draw_schedules(frame)
    assert "cascade-linear (cascade)" in first.title
    assert "pipeline-conv (pipeline)" in second.title
    assert "trunk" not in second.svg
    assert locking_table(frame)["layout"].tolist() == ["cascade", "pipeline"]


def test_several_ranks_have_separate_lanes() -> None:
    parallel = traced("sid-streamed", ON_TWO_RANKS, ranks=made_ranks([1, 1]), latency_seconds=3.0)
    frame = frame_of(traced("bp", BP), traced("sid-streamed", STREAMED), parallel)
    (figure,) = draw_schedules(frame)
    assert ">sid-streamed, 2 ranks<" in figure.svg
    assert ">rank 1: 2<" in figure.svg
    assert ">waiting for another rank<" in figure.svg
    rows = locking_table(frame).set_index("method")
    assert rows.loc["sid-streamed, 2 ranks", "waiting for other ranks, % of time"] == "10.0"
    assert rows.loc["sid-streamed, 2 ranks", "module 1 locked, % of the step"] == "0.0"


def test_several_ranks_on_another_cell_have_their_own_figure() -> None:
    parallel = traced("sid-streamed", ON_TWO_RANKS, ranks=made_ranks([1, 1]))
    figures = draw_schedules(frame_of(traced("bp", BP, 8), traced("bp", BP), parallel))
    assert [figure.name for figure in figures] == [
        "module-schedule-cascade-linear-1",
        "module-schedule-cascade-linear-2",
    ]
    assert "8 modules" in figures[0].title
    assert "2 modules" in figures[1].title


@pytest.mark.parametrize("record", [traced("bp", None), traced("bp", BP, 1)])
def test_without_a_trace_of_several_modules_nothing_is_drawn(record: Record) -> None:
    assert draw_schedules(frame_of(record)) == []
    assert locking_table(frame_of(record)).empty


def test_a_trace_of_several_steps_is_labelled() -> None:
    twice = in_a_row(*[("f1", 0.1), ("b1", 0.1), ("f2", 0.1), ("b2", 0.1), ("s", 0.1)] * 2, steps=2)
    figure = draw_schedules(frame_of(traced("bp", BP), traced("sid-streamed", twice)))[0]
    assert ">sid-streamed: 2 steps<" in figure.svg
    assert "sid-streamed: 500 ms per step" in figure.alternative


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_few_lanes_leave_room_for_title_and_axis(lanes: int) -> None:
    """Matplotlib warns of a figure that is too small, and the settings of pytest make an error of that."""
    trace = in_a_row(*((f"{phase}{module}", 1.0) for phase in "fb" for module in range(1, lanes + 1)))
    (figure,) = draw_schedules(frame_of(traced("bp", trace, modules=4)))
    assert figure.svg.count(">bp<") == 1
