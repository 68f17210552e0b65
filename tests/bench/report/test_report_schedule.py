"""Module schedules: which cells are drawn, the lanes of a trace, and the contents of the figure and the table."""

import re
from typing import Any

import pytest
from drawn_views import check_figures
from hypothesis import example, given
from hypothesis import strategies as st
from record_builder import in_a_row, made_ranks, made_trace, make_record

from bench.analysis.frame import records_frame
from bench.analysis.lanes import is_mostly_trunk, lanes_of
from bench.report.figures.figure import Figure
from bench.report.figures.schedule import draw_schedules
from bench.report.figures.style import look_of
from bench.report.tables.locking import locking_table
from bench.store.measurements.trace import Trace
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


def drawn(*records: Record) -> Figure | None:
    frame = records_frame(records)
    return draw_schedules(frame, look_of(frame))


def figure_of(*records: Record) -> Figure:
    figure = drawn(*records)
    assert figure is not None
    check_figures([figure])
    return figure


def lane_of(trace: dict[str, Any], collapse: bool = False) -> list[Any]:
    return lanes_of(Trace.model_validate(trace), collapse)


def test_the_table_shows_complete_gradients_and_locked_time() -> None:
    frame = records_frame([traced("bp", BP), traced("sid-streamed", STREAMED), traced("sid-vectorised", AT_ONCE)])
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


def test_the_view_has_a_panel_per_method_and_a_row_per_lane() -> None:
    (view,) = figure_of(traced("bp", BP), traced("sid-streamed", STREAMED)).views
    assert view.choice == "cascade-linear on digits, depth 2, 2 modules, batch 128, hidden 256"
    assert view.finding == "With bp, module 1 waits 30 % of the step for its gradient; 0 % with sid-streamed."
    assert view.data["module"].tolist() == ["1", "2", "trunk, rest"] * 2
    row = view.data.iloc[0]
    assert row.tolist()[:9] == ["bp", "0", "1", "10.0", "30.0", "70.0", "30.0", "10.000", "1 step"]
    for text in (">bp<", ">sid-streamed<", ">forward<", ">backward<", ">optimizer<", ">% of the step<"):
        assert text in view.wide
        assert text in view.narrow
    for drawing in (view.wide, view.narrow):
        assert re.findall(r'<g id="series:([^"]*)"><text', drawing) == ["bp", "sid-streamed"], "of the titles"
    assert ">waiting for its gradient<" in view.wide
    assert "waiting for another rank" not in view.wide


def test_without_a_waiting_module_no_wait_is_marked() -> None:
    (view,) = figure_of(traced("sid-streamed", STREAMED)).views
    assert "waiting for its gradient" not in view.wide


def test_modules_that_run_at_once_share_a_lane() -> None:
    (view,) = figure_of(traced("sid-vectorised", AT_ONCE)).views
    assert view.data["module"].tolist() == ["all modules"]
    assert view.finding == "sid-vectorised runs all modules at once; no module waits for its gradient by itself."


def test_the_cell_with_the_most_modules_up_to_16_is_drawn() -> None:
    records = [traced(method, STREAMED, modules) for method in ("bp", "sid-streamed") for modules in (2, 16, 32)]
    records.append(traced("sid-streamed", STREAMED, 8))
    (view,) = figure_of(*records).views
    assert "16 modules" in view.choice


def test_a_cell_with_bp_is_preferred() -> None:
    (view,) = figure_of(traced("sid-streamed", STREAMED, 8), traced("bp", BP, 2)).views
    assert "2 modules" in view.choice


def test_each_network_has_a_view() -> None:
    records = (traced("bp", BP), traced("bp", BP, network="pipeline-conv"))
    first, second = figure_of(*records).views
    assert first.choice.startswith("cascade-linear")
    assert second.choice.startswith("pipeline-conv")
    assert "trunk" not in second.wide
    assert locking_table(records_frame(records))["layout"].tolist() == ["cascade", "pipeline"]


def test_several_ranks_have_separate_lanes() -> None:
    parallel = traced("sid-streamed", ON_TWO_RANKS, ranks=made_ranks([1, 1]), latency_seconds=3.0)
    records = (traced("bp", BP), traced("sid-streamed", STREAMED), parallel)
    (view,) = figure_of(*records).views
    own = view.data[view.data["method"] == "sid-streamed, 2 ranks"]
    assert list(zip(own["rank"], own["module"], strict=True)) == [
        ("0", "1"), ("0", "trunk, rest"), ("1", "2"), ("1", "trunk, rest"),
    ]  # fmt: skip
    assert ">rank 1: 2<" in view.wide
    assert ">waiting for another rank<" in view.wide
    rows = locking_table(records_frame(records)).set_index("method")
    assert rows.loc["sid-streamed, 2 ranks", "waiting for other ranks, % of time"] == "10.0"
    assert rows.loc["sid-streamed, 2 ranks", "module 1 locked, % of the step"] == "0.0"


def test_several_ranks_on_another_cell_have_a_view() -> None:
    parallel = traced("sid-streamed", ON_TWO_RANKS, ranks=made_ranks([1, 1]))
    choices = [view.choice for view in figure_of(traced("bp", BP, 8), traced("bp", BP), parallel).views]
    assert "8 modules" in choices[0]
    assert "2 modules" in choices[1]


@pytest.mark.parametrize("record", [traced("bp", None), traced("bp", BP, 1)])
def test_without_a_trace_of_several_modules_nothing_is_drawn(record: Record) -> None:
    assert drawn(record) is None
    assert locking_table(records_frame([record])).empty


def test_a_trace_of_several_steps_is_labelled() -> None:
    twice = in_a_row(*[("f1", 0.1), ("b1", 0.1), ("f2", 0.1), ("b2", 0.1), ("s", 0.1)] * 2, steps=2)
    (view,) = figure_of(traced("bp", BP), traced("sid-streamed", twice)).views
    assert ">sid-streamed, 2 steps<" in view.wide
    assert set(view.data.loc[view.data["method"] == "sid-streamed", "over"]) == {"2 steps"}
    assert set(view.data.loc[view.data["method"] == "sid-streamed", "step, ms"]) == {"500.000"}


def test_where_modules_take_little_the_trunk_is_collapsed() -> None:
    short = in_a_row(("f", 0.5), ("f1", 0.001), ("f2", 0.001), ("b2", 0.002), ("b1", 0.002), ("b", 0.5))
    assert is_mostly_trunk([Trace.model_validate(short)])
    assert not is_mostly_trunk([Trace.model_validate(BP)])
    assert not is_mostly_trunk([Trace.model_validate(AT_ONCE)])
    (view,) = figure_of(traced("bp", short), traced("sid-streamed", STREAMED)).views
    assert ">time of the modules, %<" in view.wide
    first, second, trunk = lane_of(short, collapse=True)
    widths = [bar.end - bar.start for lane in (first, second) for bar in lane.bars]
    assert sum(widths) > 80
    assert widths == pytest.approx([widths[0], 2 * widths[0], widths[0], 2 * widths[0]])
    assert [bar.end - bar.start for bar in trunk.bars] == pytest.approx([4.0, 4.0])
    assert trunk.computes == pytest.approx(100 * 1.0 / 1.006)  # the numbers are those of the whole step


@pytest.mark.parametrize(("modules", "sizes"), [(16, [1] * 16), (17, [2] * 8 + [1]), (64, [4] * 16)])
def test_neighbouring_modules_share_a_lane_if_there_are_many(modules: int, sizes: list[int]) -> None:
    names = [("f", module) for module in range(1, modules + 1)] + [("b", module) for module in range(modules, 0, -1)]
    *lanes, rest = lane_of(in_a_row(*((f"{letter}{module}", 0.1) for letter, module in names), ("s", 0.1)))
    assert [len(lane.modules) for lane in lanes] == sizes
    assert [module for lane in lanes for module in lane.modules] == list(range(1, modules + 1))
    assert rest.modules == ()
    assert len(lanes[0].bars) == 2  # neighbouring spans of one phase are one


MODULES = st.one_of(st.none(), st.integers(1, 40))
SECONDS = st.floats(0, 5)
SPAN = st.tuples(st.integers(0, 2), MODULES, st.sampled_from("fbsw"), SECONDS, SECONDS)
SPANS = st.lists(SPAN, min_size=1, max_size=60)


@given(SPANS, st.booleans(), st.integers(1, 3))
@example([(0, None, "f", 0.0, 0.0), (0, None, "f", 5e-324, 0.0), (0, 1, "f", 1.1125369292536007e-308, 0.0)], True, 1)
def test_the_lanes_hold_every_module_once_and_bars_stay_on_the_axis(
    spans: list[tuple[int, int | None, str, float, float]], collapse: bool, steps: int
) -> None:
    rows = [(rank, module, phase, start, start + length) for rank, module, phase, start, length in spans]
    rows = [(*row[:4], max(row[4], 1e-3)) for row in rows]
    lanes = lane_of(made_trace(*rows, steps=steps), collapse)
    held = [(lane.rank, module) for lane in lanes for module in lane.modules or (None,)]
    assert sorted(held, key=str) == sorted({(rank, module) for rank, module, *_ in rows}, key=str)
    assert sum(bool(lane.modules) for lane in lanes) <= max(16, len({rank for rank, *_ in rows}))
    for lane in lanes:
        assert lane.bars
        assert all(-1e-6 <= bar.start <= bar.end <= 100 * (1 if collapse else steps) + 1e-6 for bar in lane.bars)
        assert {bar.phase for bar in lane.bars} == {
            phase for rank, module, phase, *_ in rows if rank == lane.rank and module in (lane.modules or (None,))
        }


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_few_lanes_leave_room_for_title_and_axis(lanes: int) -> None:
    """Matplotlib warns of a figure that is too small, and the settings of pytest make an error of that."""
    names = [("f1", 0.1), ("f2", 0.1), ("f", 0.1)][:lanes]
    figure_of(traced("bp", in_a_row(*names)))


@pytest.mark.parametrize("name", ["</g><script>", 'a"b', "x" * 300])
def test_any_name_of_a_method_is_drawn(name: str) -> None:
    record = traced("sid-streamed", STREAMED)
    odd = record.model_copy(update={"cell": record.cell.model_copy(update={"method": name})})
    (view,) = figure_of(traced("bp", BP), odd).views
    assert set(view.data["method"]) == {"bp", name}
    assert "<script>" not in view.wide
