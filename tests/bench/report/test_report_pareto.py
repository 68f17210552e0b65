"""The Pareto front of memory and latency, compared with examples by hand and with its definition."""

import math

import pandas as pd
import pytest
from drawn_views import check_figures, texts_in
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builder import made_ranks, make_record

from bench.analysis.frame import records_frame
from bench.analysis.headline import most_compared_cells
from bench.analysis.pareto import Band, ends_of_times, front_band, with_front
from bench.report.figures import tradeoff
from bench.report.figures.figure import Figure
from bench.report.figures.style import look_of
from bench.report.figures.tradeoff import tradeoff_figure
from bench.report.tables.costs import cost_table
from bench.store.record import Record

METHODS = ["bp", "bp-checkpoint", "bp-microbatch", "sid-published", "sid-streamed", "sid-vectorised"]


def costs(method: str, size: int, ratio: float, half: float = 0.01, processes: int = 5, **axes: object) -> Record:
    cell = {"method": method, "passes": ["memory", "latency"]} | axes
    blocks = [[[0.01 * ratio, 0.01, 0.01, 0.01 * ratio]]] * processes
    return make_record(cell, size, (ratio, ratio - half, ratio + half), blocks=blocks)


def fronts(*records: Record) -> dict[str, str]:
    rows = with_front(records_frame(records))
    return dict(zip(rows["series"], rows["front"], strict=True))


def test_a_method_is_on_the_front_if_none_is_better_in_both() -> None:
    records = [costs("bp", 1000, 1.0), costs("bp-checkpoint", 200, 1.3), costs("sid-published", 1100, 1.5)]
    assert fronts(*records) == {
        "bp": "on the front",
        "bp recompute modules": "on the front",
        "sid-published": "no: bp, bp recompute modules",
    }


def test_overlapping_intervals_are_named() -> None:
    records = [costs("bp", 1000, 1.0), costs("sid-streamed", 100, 1.005), costs("bp-checkpoint", 200, 1.01)]
    assert fronts(*records) == {
        "bp": "on the front, within the interval of sid-streamed, bp recompute modules",
        "sid-streamed": "on the front",
        "bp recompute modules": "no, but within the interval of sid-streamed",
    }


def test_times_of_one_process_are_compared_by_their_estimates() -> None:
    records = [
        costs("bp", 1000, 1.0, half=0.2),
        costs("sid-streamed", 100, 0.95, half=0.2),
        costs("bp-checkpoint", 200, 1.3, half=0.5, processes=1),
    ]
    assert fronts(*records) == {
        "bp": "no, by the estimates: sid-streamed",
        "sid-streamed": "on the front, by the estimates",
        "bp recompute modules": "no, by the estimates: sid-streamed",
    }
    assert fronts(*records[:2]) == {
        "bp": "no, but within the interval of sid-streamed",
        "sid-streamed": "on the front",
    }


def test_only_methods_on_the_same_cell_and_one_rank_are_compared() -> None:
    several = make_record(
        {"method": "sid-streamed", "passes": ["memory", "latency"]}, 10, (0.5, 0.4, 0.6), ranks=made_ranks([2, 2])
    )
    rows = with_front(records_frame([costs("bp", 1000, 1.0), costs("bp", 1, 0.1, depth=8), several]))
    assert rows["on_front"].tolist() == [True, True]
    table = cost_table(records_frame([costs("bp", 1000, 1.0), several])).set_index("method")
    assert table.loc["sid-streamed, 2 ranks", "Pareto front"] == "not measured"
    assert table.loc["bp", "Pareto front"] == "on the front"


@given(st.lists(st.tuples(st.integers(1, 20), st.integers(80, 120)), min_size=1, max_size=len(METHODS)))
def test_the_front_follows_its_definition(points: list[tuple[int, int]]) -> None:
    frame = pd.DataFrame(
        [
            {
                "series": method,
                "pair": "one",
                "ranks": 1,
                "has_memory": True,
                "has_latency": True,
                "memory.peak_activation_bytes": size,
                "memory.instrument": "exact",
                "memory.activation_ratio": size / points[0][0],
                "latency.ratio_to_bp": ratio / 100,
                "latency.noisy_because": None,
                "latency.ratio_ci95": (ratio / 100 - 0.02, ratio / 100 + 0.02),
                "latency.blocks_by_process": (5,) * 5,
            }
            for method, (size, ratio) in zip(METHODS, points, strict=False)
        ]
    )
    rows = with_front(frame)
    for own, is_on, text in zip(points, rows["on_front"], rows["front"], strict=True):
        is_dominated = any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in points)
        assert is_on == (not is_dominated)
        assert text.startswith("on the front" if is_on else "no")


Point = tuple[int, int, int, int]  # bytes, low end of the time, its length, the time in between in per cent


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20), st.integers(0, 9), st.integers(0, 100)), min_size=1))
def test_the_band_holds_the_front_of_all_times_within_the_intervals(points: list[Point]) -> None:
    band = front_band([(size, low, low + length) for size, low, length, _ in points])
    assert band.times == sorted(set(band.times))
    true = [(size, low + length * share / 100) for size, low, length, share in points]
    for time in [*band.times, *(time for _, time in true)]:
        front = min((size for size, own in true if own <= time), default=math.inf)
        place = max((index for index, start in enumerate(band.times) if start <= time), default=0)
        assert band.least[place] <= front <= band.most[place]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), min_size=1))
def test_the_band_of_exact_times_is_the_front(points: list[tuple[int, int]]) -> None:
    band = front_band([(size, time, time) for size, time in points])
    assert band.least == band.most == [min(size for size, own in points if own <= time) for time in band.times]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(80, 120), st.integers(0, 9)), min_size=1, max_size=len(METHODS)),
    st.sampled_from([1, 2, 5]),
)
def test_the_text_of_a_method_agrees_with_the_band(points: list[tuple[int, int, int]], processes: int) -> None:
    records = [
        costs(method, size, ratio / 100, half / 100, processes=processes if method == "bp" else 5)
        for method, (size, ratio, half) in zip(METHODS, points, strict=False)
    ]
    frame = with_front(records_frame(records))
    ends = ends_of_times(frame) or [(ratio, ratio) for ratio in frame["latency.ratio_to_bp"]]
    sizes = frame["memory.activation_ratio"]
    band = front_band([(size, low, high) for size, (low, high) in zip(sizes, ends, strict=True)])
    for size, (low, _), text in zip(sizes, ends, frame["front"], strict=True):
        highest = band.most[band.times.index(low)]
        if size > highest:  # its bar, or its estimate, is wholly above the band
            assert text.startswith("no")
        if text.startswith(("no: ", "no, by the estimates: ")):
            assert size >= highest
        assert ("interval" in text) <= (processes > 1)
        assert ("by the estimates" in text) == (processes == 1)


def figure_of(*records: Record) -> Figure:
    frame = records_frame(records)
    figure = tradeoff_figure(frame, look_of(frame))
    assert figure is not None
    check_figures([figure])
    return figure


def test_the_figure_has_a_view_per_cell() -> None:
    figure = figure_of(
        *(
            costs(method, size, ratio, **axes)
            for axes in ({}, {"network": "pipeline-conv"}, {"depth": 8})
            for method, size, ratio in (("bp", 1000, 1.0), ("bp-checkpoint", 400, 1.3), ("sid-streamed", 100, 0.9))
        )
    )
    assert [view.choice.partition(",")[0] for view in figure.views] == [
        "cascade-linear on digits",
        "pipeline-conv on digits",  # each network has a cell before any has its second
        "cascade-linear on digits",
    ]
    assert "depth 8" in figure.views[0].choice
    for view in figure.views:
        assert view.data["method"].tolist() == ["bp", "bp recompute modules", "sid-streamed"]
        assert view.data["Pareto front"].tolist() == ["no: sid-streamed", "no: sid-streamed", "on the front"]
        assert set(view.data["cell"]) == {view.choice}
        assert {"bp", "sid-streamed"} <= set(texts_in(view.wide))


@pytest.mark.parametrize(
    ("others", "finding"),
    [
        (
            [("sid-streamed", 31, 0.86), ("sid-published", 900, 0.9), ("bp-checkpoint", 20, 1.3)],
            "sid-streamed needs 3.1 % of BP's activation bytes in 0.86 [0.85, 0.87] of its time. "
            "2 methods are better in both than BP.",
        ),
        (
            [("sid-streamed", 31, 1.2), ("bp-checkpoint", 500, 1.005)],
            "bp recompute modules needs 50.0 % of BP's activation bytes in 1.00 [0.99, 1.01] of its time. "
            "No method is better in both than BP; of 1 with fewer bytes the time is undecided.",
        ),
        (
            [("sid-published", 1500, 1.5)],
            "sid-published needs 150 % of BP's activation bytes in 1.50 [1.49, 1.51] of its time. "
            "No method is better in both than BP.",
        ),
        ([], "No method besides BP was measured on this cell."),
    ],
)
def test_the_finding_is_made_from_bytes_and_intervals(others: list[tuple[str, int, float]], finding: str) -> None:
    (view,) = figure_of(costs("bp", 1000, 1.0), *(costs(*other) for other in others)).views
    assert view.finding == finding


def test_the_interval_of_one_process_decides_nothing() -> None:
    records = [costs("bp", 1000, 1.0), costs("sid-streamed", 31, 0.8, processes=1), costs("sid-vectorised", 40, 0.9)]
    (view,) = figure_of(*records).views
    assert view.finding == (
        "sid-streamed needs 3.1 % of BP's activation bytes in 0.80 [0.79, 0.81] of its time (1 process). "
        "1 method is better in both than BP; of 1 more with fewer bytes the time is undecided."
    )


@pytest.mark.parametrize("processes", [1, 5])
def test_a_cell_with_a_time_of_one_process_has_no_band(processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bands: list[Band] = []
    monkeypatch.setattr(tradeoff, "front_band", lambda points: bands.append(front_band(points)) or bands[-1])
    figure_of(costs("bp", 1000, 1.0), costs("sid-streamed", 31, 0.8, half=0.1, processes=processes))
    assert bands
    for band in bands:
        assert (band.least == band.most) == (processes == 1)
        assert band.times == (pytest.approx([0.8, 1.0]) if processes == 1 else pytest.approx([0.7, 0.9, 0.99, 1.01]))


def test_an_interval_that_holds_one_is_not_called_the_same_time() -> None:
    (view,) = figure_of(costs("bp", 1000, 1.0), costs("sid-streamed", 31, 1.0, half=0.5)).views
    assert "same time" not in view.finding
    assert view.finding.endswith("of 1 with fewer bytes the time is undecided.")


def test_noisy_times_take_no_part_in_finding_and_front() -> None:
    cell = {"method": "sid-streamed", "passes": ["memory", "latency"]}
    noisy = make_record(cell, 31, (0.5, 0.4, 0.6), noisy_because="a disturbance")
    (view,) = figure_of(costs("bp", 1000, 1.0), costs("sid-published", 900, 1.5), noisy).views
    assert view.finding.startswith("sid-published needs 90.0 %")
    assert view.data["Pareto front"].tolist() == ["on the front", "on the front", "not judged, noisy"]
    (view,) = figure_of(costs("bp", 1000, 1.0), noisy).views
    assert view.finding == (
        "sid-streamed needs 3.1 % of BP's activation bytes; the times of this cell are noisy and decide nothing."
    )


@pytest.mark.long
def test_at_most_twelve_cells_are_drawn_and_the_caption_counts_the_rest() -> None:
    records = [costs(method, 10, 1.0, depth=depth) for depth in range(2, 16) for method in ("bp", "sid-streamed")]
    frame = records_frame(records)
    cells = most_compared_cells(with_front(frame))
    assert [cell["depth"].iloc[0] for cell in cells] == list(range(15, 1, -1))
    figure = figure_of(*records)
    assert len(figure.views) == 12
    assert figure.caption.endswith("2 more cells are not drawn.")
    assert len(cost_table(frame)) == 28


def test_cells_that_differ_in_threads_have_views_of_their_own() -> None:
    records = [costs(method, 10, 1.0, threads=count) for count in (1, 2) for method in ("bp", "sid-streamed")]
    assert sorted(view.choice for view in figure_of(*records).views) == [
        f"cascade-linear on digits, depth 4, 4 modules, batch 128, hidden 256, threads {count}" for count in (1, 2)
    ]


def test_of_cells_that_differ_in_the_seed_the_least_is_drawn() -> None:
    records = [costs(method, 10 + seed, 1.0, seed=seed) for seed in (3, 1) for method in ("bp", "sid-streamed")]
    (view,) = figure_of(*records).views
    assert set(view.data["peak activation bytes"]) == {"11"}


def test_odd_names_and_intervals_are_drawn() -> None:
    odd = [
        costs("bp", 1000, 1.0, half=0.0),
        costs("sid-streamed", 1, 0.01, half=0.01),  # the low end is 0, which no logarithmic axis shows
    ]
    frame = records_frame(odd)
    names = ["$a_1 < b & c$", "n" * 200]
    frame = frame.assign(series=names, method=names)
    figure = tradeoff_figure(frame, look_of(frame))
    assert figure is not None
    check_figures([figure])
    assert any(text.endswith("$a_1 < b & c$") for text in texts_in(figure.views[0].wide))


def test_without_costs_of_bp_there_is_no_figure() -> None:
    frame = records_frame([costs("sid-streamed", 10, 1.0)])
    assert tradeoff_figure(frame, look_of(frame)) is None
    frame = records_frame([make_record({"method": name, "passes": ["memory"]}, 10) for name in ("bp", "sid-streamed")])
    assert tradeoff_figure(frame, look_of(frame)) is None
    frame = records_frame([make_record({"method": "bp", "passes": ["accuracy"]}, accuracy=0.5)])
    assert tradeoff_figure(frame, look_of(frame)) is None
