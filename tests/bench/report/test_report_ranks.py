"""Several ranks in the report: the table, the figure with the bound, and missing measurements."""

from pathlib import Path
from typing import Any

import pytest
from drawn_views import check_figures, texts_in
from record_builder import made_ranks, make_record

from bench.analysis.frame import records_frame
from bench.analysis.ranks import rows_on_several_ranks
from bench.report import write_report
from bench.report.figures.figure import Figure
from bench.report.figures.ranks import ranks_figure
from bench.report.figures.style import look_of
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
    assert figure_of(on_ranks([4, 4])) is None


def figure_of(*records: Record) -> Figure | None:
    frame = records_frame(records)
    figure = ranks_figure(frame, look_of(rows_on_several_ranks(frame)))
    check_figures([figure] if figure is not None else [])
    return figure


def test_the_figure_has_a_dumbbell_for_each_number_of_ranks_the_fastest_first() -> None:
    four = {"ratio_to_one_rank": 0.5}
    figure = figure_of(on_ranks([4, 4], **MEASURED), on_ranks([2, 2, 2, 2], 1, **four))
    assert figure is not None
    (view,) = figure.views
    assert view.data.drop(columns="cell").to_numpy().tolist() == [
        ["sid-streamed", "4", "0.5", "", "", "", "1 process", "undecided (1 process, which gives no interval)"],
        [
            "sid-streamed",
            "2",
            "0.7",
            "0.65",
            "0.75",
            "0.6",
            "1 process",
            "undecided (1 process, which gives no interval)",
        ],
    ]
    assert view.finding == (
        "sid-streamed on 4 ranks takes 0.50 of one rank's time, the least of 2 schedules. "
        "Verdict: undecided (1 process, which gives no interval)."
    )
    for svg in (view.wide, view.narrow):
        assert [text for text in texts_in(svg) if "ranks" in text] == ["sid-streamed, 4 ranks", "sid-streamed, 2 ranks"]


def test_the_finding_leaves_out_noisy_times() -> None:
    figure = figure_of(
        on_ranks([4, 4], **MEASURED), on_ranks([2, 2, 2, 2], noisy_because="a disturbance", ratio_to_one_rank=0.4)
    )
    assert figure is not None
    assert figure.views[0].finding.startswith(
        "sid-streamed on 2 ranks takes 0.70 [0.65, 0.75] of one rank's time; its bound is 0.60."
    )
    figure = figure_of(on_ranks([4, 4], noisy_because="a disturbance", **MEASURED))
    assert figure is not None
    assert figure.views[0].finding == "All times here are noisy and decide nothing."


def test_a_bound_alone_is_drawn() -> None:
    figure = figure_of(on_ranks([4, 4], bound=0.6))
    assert figure is not None
    (view,) = figure.views
    assert view.finding == "No time was measured; sid-streamed on 2 ranks has the least bound, 0.60 of one rank's."
    assert view.data["time / one rank's"].tolist() == [""]


def test_cells_have_views_of_their_own_and_seeds_share_a_line() -> None:
    figure = figure_of(
        *(on_ranks([4, 4], seed, **MEASURED | {"ratio_to_one_rank": 0.7 + seed / 100}) for seed in range(3)),
        on_ranks([4, 4], batch_size=64, **MEASURED),
    )
    assert figure is not None
    assert [len(view.data) for view in figure.views] == [3, 1]
    assert [text for text in texts_in(figure.views[0].wide) if "ranks" in text] == ["sid-streamed, 2 ranks"]


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
    assert 'id="step-time-on-ranks' in page
    (drawing,) = tmp_path.glob("step-time-on-ranks-*.svg")
    assert "sid-streamed, 2 ranks" in texts_in(drawing.read_text())
