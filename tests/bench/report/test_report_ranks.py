"""Several ranks in the report: the table, the figure with the bound, and missing measurements."""

from pathlib import Path
from typing import Any

import pytest
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


def on_ranks(
    modules: list[int],
    seed: int = 0,
    noisy_because: str | None = None,
    batch_size: int = 128,
    latency_seconds: float = 2.0,
    **values: Any,
) -> Record:
    # latency_seconds distinguishes the cells and affects no figure; a results file holds each cell once.
    cell = {"method": "sid-streamed", "depth": 8, "passes": ["memory", "latency"], "seed": seed}
    cell |= {"batch_size": batch_size, "latency_seconds": latency_seconds}
    return make_record(cell, 3000, (0.8, 0.7, 0.9), noisy_because=noisy_because, ranks=made_ranks(modules, **values))


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
        "verdict": "undecided (1 process, which gives no interval)",
        "bound": "0.60",
        "busy by rank, %": "90; 80",
        "peak activation bytes, largest rank": "3,000",
        "peak activation bytes, all ranks": "4,500",
        "peak activation bytes by rank": "3,000; 1,500",
        "peak total bytes, largest rank": "9,000",
        "peak total bytes by rank": "9,000; 8,000",
        "samples/s": "16,000",
    }


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ((0.70, 0.71, 0.69, 0.70, 0.72), "faster (5 processes)"),
        ((1.50, 1.52, 1.48), "slower (3 processes)"),
        ((1.001, 0.999, 1.0, 1.002), "same within 3 % (4 processes)"),
        ((0.70, 1.30, 0.95), "undecided (3 processes)"),
        ((0.30,), "undecided (1 process, which gives no interval)"),
        ((0.30, None), "undecided (1 process, which gives no interval)"),
        ((None,), "not measured"),
    ],
)
def test_the_verdict_rests_on_processes_and_not_on_a_point_estimate(
    ratios: tuple[float | None, ...], verdict: str
) -> None:
    records = [
        on_ranks([4, 4], seed, ratio_to_one_rank=ratio, ratio_to_one_rank_ci95=ratio and [ratio * 0.99, ratio * 1.01])
        for seed, ratio in enumerate(ratios)
    ]
    table = ranks_table(records_frame(records))
    assert table["verdict"].tolist() == [verdict] * len(ratios)


def test_noisy_processes_do_not_count_in_a_verdict() -> None:
    ratios = (0.70, 0.71, 0.69, 3.0)
    records = [
        on_ranks([4, 4], seed, "a noisy run" if ratio > 1 else None, ratio_to_one_rank=ratio)
        for seed, ratio in enumerate(ratios)
    ]
    assert set(ranks_table(records_frame(records))["verdict"]) == {"faster (3 processes)"}
    assert ranks_table(records_frame(records[3:]))["verdict"].tolist() == ["undecided (noisy)"]


def test_verdicts_of_a_table_are_corrected_for_their_number() -> None:
    def verdict(cells: int) -> str:
        ratios = (0.91, 0.95, 0.93)
        records = [
            on_ranks([4, 4], seed, batch_size=2**cell, ratio_to_one_rank=ratio)
            for cell in range(cells)
            for seed, ratio in enumerate(ratios)
        ]
        return str(ranks_table(records_frame(records))["verdict"].iloc[0])

    assert verdict(1) == "faster (3 processes)"
    assert verdict(8) == "undecided (3 processes)"


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
    (figure,) = draw_ranks(records_frame([on_ranks([4, 4], **MEASURED), on_ranks([2, 2, 2, 2], 1, **four)]))
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
    records = [on_ranks([4, 4], latency_seconds=3.0, **MEASURED), *one_rank]
    frame = records_frame(records)
    assert frame["series"].tolist() == ["sid-streamed, 2 ranks", "bp", "sid-streamed"]
    assert frame["memory.activation_ratio"].tolist() == [0.75, 1, 1]
    file = tmp_path / "ranks.jsonl"
    file.write_text("".join(f"{record.line()}\n" for record in records))
    summary = write_report([file], tmp_path / "page.html", tmp_path).summary
    assert "sid-streamed, 2 ranks" in summary["method"].tolist()
    page = (tmp_path / "page.html").read_text()
    assert '<a href="#ranks">' in page
    assert '<h3 id="time-against-ranks">' in page
    assert (tmp_path / "time-against-ranks.svg").exists()
