"""Live bytes over a step: a panel per method on one scale, whose finding names the peak and what it holds."""

import re
from typing import Any

import numpy as np
import pytest
from drawn_views import check_figures
from record_builder import make_record

from bench.analysis.frame import records_frame
from bench.report.figures.figure import Figure
from bench.report.figures.style import look_of
from bench.report.figures.timeline import draw_timelines
from bench.report.inputs import Inputs
from bench.report.sections.why import why
from bench.store.measurements.memory import CreatedBytes
from bench.store.record import Record

MIB = 2**20


def held(method: str, size: int, **axes: Any) -> Record:
    """Returns a record with three quarters of ``size`` in activations of the modules, at a third of the step."""
    return make_record({"method": method, "depth": 4, "passes": ["memory"]} | axes, memory=size)


def with_timeline(record: Record, **columns: Any) -> Record:
    assert record.memory is not None
    assert record.memory.timeline is not None
    timeline = record.memory.timeline.model_copy(update=columns)
    return record.model_copy(update={"memory": record.memory.model_copy(update={"timeline": timeline})})


def drawn(*records: Record) -> Figure | None:
    frame = records_frame(records)
    return draw_timelines(frame, look_of(frame))


def figure_of(*records: Record) -> Figure:
    figure = drawn(*records)
    assert figure is not None
    check_figures([figure])
    return figure


def test_the_finding_names_the_peak_of_each_method_and_what_it_holds() -> None:
    bp, sid = held("bp", 40 * MIB), held("sid-streamed", 4 * MIB)
    (view,) = figure_of(bp, sid).views
    assert view.finding == (
        "bp peaks at 40.0 MiB, 75 % activations, modules; sid-streamed peaks at 4.00 MiB, 75 % activations, modules."
    )
    assert view.cells == (bp.id, sid.id)
    row = view.data.set_index("method").loc["bp"]
    assert row["peak, bytes"] == "41,943,040"
    assert row["activations, modules, bytes"] == "31,457,280"
    assert row["temporary, modules, bytes"] == "10,485,760"
    assert (row["at, % of the operators"], row["phase"], row["over"]) == ("33.3", "backward", "exact")


def test_the_title_of_a_panel_belongs_to_its_series() -> None:
    (view,) = figure_of(held("bp", 2 * MIB), held("sid-streamed", MIB)).views
    for drawing in (view.wide, view.narrow):
        assert re.findall(r'<g id="series:([^"]*)"><text[^>]*>', drawing) == ["bp", "sid-streamed"]


def test_the_finding_begins_with_bp_and_goes_on_with_the_lowest_peak() -> None:
    sizes = {"bp": 4, "sid-published": 5, "sid-streamed": 1, "deep-supervision": 2}
    (view,) = figure_of(*(held(method, size * MIB) for method, size in sizes.items())).views
    assert [clause.split(" peaks")[0] for clause in view.finding.split("; ")] == [
        "bp", "sid-streamed", "deep-supervision", "and 1 more method.",
    ]  # fmt: skip
    assert view.data["method"].tolist()[0] == "bp"


def test_each_network_has_a_view_of_its_largest_cell_with_bp() -> None:
    records = [held("bp", MIB, depth=depth, modules=depth) for depth in (4, 8)]
    records += [held("sid-streamed", MIB, depth=16, modules=16), held("bp", MIB, network="cascade-conv", hidden=64)]
    choices = [view.choice for view in figure_of(*records).views]
    assert [choice.split(" on ")[0] for choice in choices] == ["cascade-linear", "cascade-conv"]  # 8 and 4 modules
    assert "depth 8" in choices[0]


def test_records_without_a_timeline_are_not_drawn() -> None:
    record = held("bp", MIB)
    assert record.memory is not None
    old = record.model_copy(update={"memory": record.memory.model_copy(update={"timeline": None, "at_peak": None})})
    assert drawn(old) is None
    assert drawn(make_record({"method": "bp", "passes": ["latency"]}, latency=(1.0, 0.9, 1.1))) is None
    (view,) = figure_of(held("bp", MIB, seed=0), with_timeline(held("sid-streamed", MIB))).views
    assert len(view.data) == 2


@pytest.mark.parametrize("points", [0, 1, 2, 1000])
def test_any_number_of_points_is_drawn(points: int) -> None:
    """A timeline may be empty; a long one keeps its peak."""
    values = [int(value) for value in np.random.default_rng(0).integers(1, MIB, points)]
    columns: dict[str, Any] = dict.fromkeys(CreatedBytes.model_fields, values)
    columns |= {"at": list(range(points)), "operators": points}
    record = with_timeline(
        held("bp", 4 * max(values, default=1)), phase="fb" * (points // 2) + "f" * (points % 2), **columns
    )
    (view,) = figure_of(record).views
    assert view.data["peak, bytes"].tolist() == [f"{4 * max(values, default=1):,}"]
    assert len(view.wide) < 20_000


def test_a_step_that_holds_nothing_is_drawn() -> None:
    (view,) = figure_of(held("bp", 0)).views
    assert view.finding == "bp peaks at 0.000 MiB."


def test_the_section_needs_bytes_by_category_or_a_trace() -> None:
    def section(*records: Record) -> Any:
        return why(Inputs((), (), records, ()))

    assert section(make_record({"passes": ["accuracy"]}, accuracy=0.9)) is None
    assert section(make_record({}, status="oom", message="no memory")) is None
    content = section(held("bp", MIB))
    assert [figure.name for figure in content.figures] == ["live-bytes"]
    assert content.categories["activation, modules"].tolist() == ["786,432"]
    assert content.locking.empty
