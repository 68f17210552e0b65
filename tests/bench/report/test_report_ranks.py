"""Several ranks in the report: the table, the figure with the bound, and missing measurements."""

from pathlib import Path
from typing import Any

from record_builder import made_ranks, make_record

from bench.analysis.frame import records_frame
from bench.report import write_report
from bench.report.figures.ranks import draw_ranks
from bench.report.figures.timeline import draw_timelines
from bench.report.tables.ranks import ranks_table
from bench.store.record import Record

MEASURED = {
    "ratio_to_one_rank": 0.7,
    "ratio_to_one_rank_ci95": [0.65, 0.75],
    "bound": 0.6,
    "busy_share": [0.9, 0.8],
    "peak_activation_bytes": [3000, 1500],
    "peak_total_bytes": [9000, 8000],
}


def on_ranks(modules: list[int], latency_seconds: float = 2.0, **values: Any) -> Record:
    # latency_seconds distinguishes the cells and affects no figure; a results file holds each cell once.
    cell = {"method": "sid-streamed", "depth": 8, "passes": ["memory", "latency"], "latency_seconds": latency_seconds}
    return make_record(cell, 3000, (0.8, 0.7, 0.9), ranks=made_ranks(modules, **values))


def test_the_table_shows_bound_and_measurement() -> None:
    (row,) = ranks_table(records_frame([on_ranks([5, 3], **MEASURED)])).to_dict("records")
    assert row == {
        "network": "cascade-linear",
        "layout": "cascade",
        "data": "digits",
        "image": "unknown",
        "method": "sid-streamed",
        "depth": 8,
        "modules": 8,
        "hidden": 256,
        "batch": 128,
        "ranks": 2,
        "threads per rank": "unset",
        "modules by rank": "5, 3",
        "time / one rank's [95 %]": "0.70 [0.65, 0.75] (1 run)",
        "bound": "0.60",
        "busy by rank, %": "90; 80",
        "peak activation bytes, largest rank": "3,000",
        "peak activation bytes, all ranks": "4,500",
        "peak activation bytes by rank": "3,000; 1,500",
        "peak total bytes, largest rank": "9,000",
        "peak total bytes by rank": "9,000; 8,000",
        "samples/s": "16,000",
    }


def test_total_bytes_are_those_of_the_rank_that_needs_most() -> None:
    totals = MEASURED | {"peak_total_bytes": [7000, 8000]}  # the rank with fewer activations has more bytes in all
    on_one = make_record({"method": "bp", "depth": 8, "passes": ["memory"]}, 4000)
    frame = records_frame([on_ranks([5, 3], **totals), on_one])
    assert frame["memory.peak_total_bytes"].tolist() == [8000, 8000]
    assert frame["memory.total_ratio"].tolist() == [1.0, 1.0]


def test_missing_measurements_are_shown_as_not_measured() -> None:
    frame = records_frame([on_ranks([4, 4])])
    (row,) = ranks_table(frame).to_dict("records")
    names = ("time / one rank's [95 %]", "bound", "busy by rank, %", "peak activation bytes, largest rank")
    assert {row[name] for name in names} == {"not measured"}
    assert draw_ranks(frame) == []


def test_the_figure_shows_ratio_and_bound_against_the_number_of_ranks() -> None:
    four = {"ratio_to_one_rank": 0.5}
    (figure,) = draw_ranks(records_frame([on_ranks([4, 4], **MEASURED), on_ranks([2, 2, 2, 2], 3.0, **four)]))
    assert figure.data[["method", "ranks", "time / one rank's", "95 % from"]].to_numpy().tolist() == [
        ["sid-streamed", 2, "0.7", "0.65"],
        ["sid-streamed, bound", 2, "0.6", "no interval"],
        ["sid-streamed", 4, "0.5", "no interval"],
    ]
    assert "sid-streamed from 0.70 to 0.50" in figure.alternative
    assert ">sid-streamed, bound<" in figure.svg


def test_waiting_is_a_phase_in_the_figure_of_live_bytes() -> None:
    record = on_ranks([4, 4])
    assert record.memory is not None
    assert record.memory.timeline is not None
    waiting = record.memory.timeline.model_copy(update={"phase": "fwb"})
    on_one = make_record(record.cell.model_dump() | {"method": "bp", "latency_seconds": 2.0}, 4000, (1, 0.9, 1.1))
    several = record.model_copy(update={"memory": record.memory.model_copy(update={"timeline": waiting})})
    (alone,) = draw_timelines(records_frame([on_one]))
    (both,) = draw_timelines(records_frame([on_one, several]))
    assert "waiting for another rank" not in alone.svg
    assert "waiting for another rank" in both.svg
    assert set(both.data["phase"]) == {"forward", "backward", "optimizer", "waiting for another rank"}


def test_cells_on_several_ranks_are_separate_series(tmp_path: Path) -> None:
    cell = {"depth": 8, "passes": ["memory", "latency"]}
    one_rank = [make_record(cell | {"method": method}, 4000, (1, 0.9, 1.1)) for method in ("bp", "sid-streamed")]
    records = [on_ranks([4, 4], 3.0, **MEASURED), *one_rank]
    frame = records_frame(records)
    assert frame["series"].tolist() == ["sid-streamed, 2 ranks", "bp", "sid-streamed"]
    assert frame["memory.activation_ratio"].tolist() == [0.75, 1, 1]
    file = tmp_path / "ranks.jsonl"
    file.write_text("".join(f"{record.line()}\n" for record in records))
    summary = write_report([file], tmp_path / "page.html", tmp_path)
    assert "sid-streamed, 2 ranks" in summary["method"].tolist()
    page = (tmp_path / "page.html").read_text()
    assert '<a href="#ranks">' in page
    assert '<h3 id="time-against-ranks">' in page
    assert (tmp_path / "time-against-ranks.svg").exists()
