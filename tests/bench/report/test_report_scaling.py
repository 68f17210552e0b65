"""Memory and time against depth, batch size and modules: views, findings, marks and the table of growth."""

from collections import Counter
from typing import Any

import pytest
from drawn_views import check_figures, marks_in, texts_in
from record_builder import make_record

from bench.analysis.frame import records_frame
from bench.report.figures.figure import Figure
from bench.report.figures.scaling import scaling_figures
from bench.report.figures.style import look_of
from bench.store.record import Record


def deep(
    method: str, depth: int, size: int, ratio: float, because: str | None = None, processes: int = 5, **axes: Any
) -> Record:
    cell = {"method": method, "depth": depth, "modules": depth, "passes": ["memory", "latency"]} | axes
    blocks = [[[0.01 * ratio, 0.01, 0.01, 0.01 * ratio]]] * processes
    return make_record(cell, size, (ratio, ratio - 0.05, ratio + 0.05), noisy_because=because, blocks=blocks)


def figures_of(*records: Record) -> dict[str, Figure]:
    frame = records_frame(records)
    figures = scaling_figures(frame, look_of(frame))
    check_figures(figures)
    return {figure.name: figure for figure in figures}


GROWING = [
    deep(method, depth, size * (depth if method == "bp" else 1), ratio - depth / 1000)
    for method, size, ratio in (("bp", 1000, 1.0), ("sid-streamed", 100, 0.9))
    for depth in (4, 8, 16)
]


def test_each_quantity_has_a_figure_with_a_view_for_the_axis_that_varies() -> None:
    figures = figures_of(*GROWING)
    assert list(figures) == ["memory", "latency"]
    for figure in figures.values():
        (view,) = figure.views
        assert view.choice.startswith("depth: cascade-linear on digits, 1 layer per module")
        assert view.data["method"].tolist() == ["bp"] * 3 + ["sid-streamed"] * 3
        assert view.data["depth"].tolist() == ["4", "8", "16"] * 2
    assert figures["memory"].views[0].finding == (
        "From depth 4 to 16, the activation bytes of bp are multiplied by 4.00, and those of sid-streamed by 1.00, "
        "the least of 2 methods."
    )
    assert figures["latency"].views[0].finding == (
        "sid-streamed takes 0.90 [0.85, 0.95] of BP's time at depth 4 and 0.88 [0.83, 0.93] at depth 16, "
        "the only method measured there."
    )
    assert figures["memory"].views[0].data["peak activation bytes"].tolist() == [
        "4,000",
        "8,000",
        "16,000",
        *["100"] * 3,
    ]
    assert "bp 0.015 MiB" in texts_in(figures["memory"].views[0].wide)


def test_a_lone_point_is_a_mark_without_a_line() -> None:
    (view,) = figures_of(*GROWING, deep("sid-published", 8, 5000, 1.5))["memory"].views
    row = view.data["method"].tolist().index("sid-published")
    for svg in (view.wide, view.narrow):
        assert marks_in(svg)[row] == 1
    assert view.finding.endswith("sid-streamed by 1.00, the least of 2 methods.")


def test_noisy_times_are_not_in_the_finding() -> None:
    noisy = [deep("sid-vectorised", depth, 100, 0.3, "a disturbance") for depth in (4, 16)]
    assert figures_of(*GROWING, *noisy)["latency"].views[0].finding.startswith("sid-streamed takes 0.90")
    every = [deep(method, depth, 100, 1.0, "a disturbance") for method in ("bp", "sid-streamed") for depth in (4, 8)]
    assert figures_of(*every)["latency"].views[0].finding == "All times here are noisy and decide nothing."


def test_the_finding_says_where_an_interval_is_of_one_process_and_that_the_least_is_an_estimate() -> None:
    others = [deep("sid-vectorised", depth, 100, 0.7, processes=1) for depth in (4, 16)]
    assert figures_of(*GROWING, *others)["latency"].views[0].finding == (
        "sid-vectorised takes 0.70 [0.65, 0.75] (1 process) of BP's time at depth 4 and 0.70 [0.65, 0.75] (1 process) "
        "at depth 16, the least estimate of 2 methods."
    )


@pytest.mark.parametrize(
    ("method", "memory", "latency"),
    [
        (
            "bp",
            "From depth 4 to 16, the activation bytes of bp are multiplied by 4.00.",
            "No method besides BP was measured here; the ratio of BP to itself should be 1.",
        ),
        (
            "sid-streamed",
            "From depth 4 to 16, the activation bytes of sid-streamed are multiplied by 1.00.",
            "sid-streamed takes 0.90 [0.85, 0.95] of BP's time at depth 4 and 0.88 [0.83, 0.93] at depth 16, "
            "the only method measured there.",
        ),
    ],
)
def test_one_method_alone_is_drawn(method: str, memory: str, latency: str) -> None:
    figures = figures_of(*(record for record in GROWING if record.cell.method == method))
    assert figures["memory"].views[0].finding == memory
    assert figures["latency"].views[0].finding == latency


def test_lines_without_both_ends_have_a_finding_on_the_last_place() -> None:
    records = [deep("bp", 4, 400, 1.0), deep("sid-streamed", 16, 100, 0.9)]
    figures = figures_of(*records)
    assert (
        figures["memory"].views[0].finding == "At depth 16, sid-streamed needs the fewest activation bytes: 0.000 MiB."
    )
    assert figures["latency"].views[0].finding == (
        "At depth 16, sid-streamed takes 0.90 [0.85, 0.95] of BP's time, the only method measured there."
    )


@pytest.mark.long
def test_axes_take_turns_and_at_most_twelve_views_are_drawn() -> None:
    cell = {"method": "bp", "passes": ["memory"]}
    records = [
        make_record(
            cell | {"depth": depth, "modules": depth, "batch_size": batch, "hidden": hidden}, 100 * batch * depth
        )
        for hidden in range(8, 15)
        for depth in (4, 8)
        for batch in (16, 32)
    ]
    figure = figures_of(*records)["memory"]
    assert [view.choice.partition(":")[0] for view in figure.views] == ["depth", "batch size"] * 6
    assert [view.name for view in figure.views[:2]] == ["depth", "batch-size"]
    assert figure.views[2].name.startswith("depth-cascade-linear-on-digits")
    assert figure.caption.endswith("2 more panels are not drawn.")


def test_seeds_of_one_cell_share_a_mark() -> None:
    (view,) = figures_of(*(deep("bp", depth, 100 + seed, 1.0, seed=seed) for depth in (4, 8) for seed in (2, 1)))[
        "memory"
    ].views
    assert view.data["peak activation bytes"].tolist() == ["101", "101"]
    assert marks_in(view.wide) == Counter([0, 1])


def test_names_with_markup_and_two_hundred_characters_are_drawn() -> None:
    frame = records_frame(GROWING)
    names = frame["method"].map({"bp": "$x_1$ <b> & 'c'", "sid-streamed": "m" * 200})
    frame = frame.assign(series=names, method=names)
    figures = scaling_figures(frame, look_of(frame))
    check_figures(figures)
    assert any("$x_1$ <b> & 'c'" in text for text in texts_in(figures[0].views[0].wide))
    assert not any(len(text) > 70 for text in texts_in(figures[0].views[0].wide))


def test_one_point_draws_nothing() -> None:
    assert figures_of(deep("bp", 4, 400, 1.0)) == {}
    assert figures_of(make_record({"method": "bp", "passes": ["accuracy"]}, accuracy=0.5)) == {}
