"""The Pareto front of memory and latency, compared with examples by hand and with its definition."""

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from record_builder import made_ranks, make_record

from bench.analysis.frame import records_frame
from bench.analysis.pareto import with_front
from bench.report.page import draw_figures
from bench.report.tables.costs import cost_table
from bench.store.record import Record

METHODS = ["bp", "bp-checkpoint", "bp-microbatch", "sid-published", "sid-streamed", "sid-vectorised"]


def costs(method: str, size: int, ratio: float, half: float = 0.01, **axes: object) -> Record:
    cell = {"method": method, "passes": ["memory", "latency"]} | axes
    return make_record(cell, size, (ratio, ratio - half, ratio + half))


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
                "latency.ratio_to_bp": ratio / 100,
                "latency.ratio_ci95": (ratio / 100 - 0.02, ratio / 100 + 0.02),
            }
            for method, (size, ratio) in zip(METHODS, points, strict=False)
        ]
    )
    rows = with_front(frame)
    for own, is_on, text in zip(points, rows["on_front"], rows["front"], strict=True):
        is_dominated = any(other != own and other[0] <= own[0] and other[1] <= own[1] for other in points)
        assert is_on == (not is_dominated)
        assert text.startswith("on the front" if is_on else "no")


def test_the_figure_has_one_panel_per_cell_and_its_alternative_names_the_front() -> None:
    records = [
        costs(method, size, ratio, **axes)
        for axes in ({}, {"network": "pipeline-conv"}, {"depth": 8})
        for method, size, ratio in (("bp", 1000, 1.0), ("bp-checkpoint", 400, 1.3), ("sid-streamed", 100, 0.9))
    ]
    figure = next(figure for figure in draw_figures(records_frame(records)) if figure.name == "memory-against-latency")
    assert len(figure.data) == 9
    assert set(figure.data["layout"]) == {"cascade", "pipeline"}
    assert figure.data.loc[figure.data["method"] == "bp", "Pareto front"].tolist() == ["no: sid-streamed"] * 3
    assert figure.alternative.count("hidden 256: sid-streamed") == 3
    assert figure.svg.count("pipeline-conv on digits") == 1
    assert figure.svg.count("cascade-linear on digits") == 2


def test_the_figure_shows_at_most_four_cells_per_network() -> None:
    records = [costs(method, 10, 1.0, depth=depth) for depth in (2, 3, 4, 5, 6) for method in ("bp", "sid-streamed")]
    figure = next(figure for figure in draw_figures(records_frame(records)) if figure.name == "memory-against-latency")
    assert len(figure.data) == 8
    assert "depth 2" not in figure.svg
    assert len(cost_table(records_frame(records))) == 10


def test_cells_that_differ_in_threads_have_separate_panels() -> None:
    records = [costs(method, 10, 1.0, threads=count) for count in (1, 2) for method in ("bp", "sid-streamed")]
    figure = next(figure for figure in draw_figures(records_frame(records)) if figure.name == "memory-against-latency")
    assert sorted(set(figure.data["where"])) == [
        f"cascade-linear on digits, depth 4, 4 modules, batch 128, hidden 256, threads {count}" for count in (1, 2)
    ]
