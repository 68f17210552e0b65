"""The look of figures: colours with contrast, ticks, numbers in words, and drawings as small files of their own."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.numbers import times
from bench.analysis.statistics.estimate import Interval
from bench.analysis.words import counted
from bench.config.methods import known_method
from bench.report.figures.axes import log_ticks, use_log, use_values
from bench.report.figures.canvas import WIDE, Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.files import as_document, figure_files
from bench.report.figures.points import draw_interval, draw_line, draw_mark
from bench.report.figures.style import look_of
from bench.report.figures.theme import contrast, dark_variables
from bench.report.figures.words import finding, tick_percent, view_names

OWN = ["bp", "bp-checkpoint", "bp-microbatch", "bp-plain", "bp-label-smoothing", "sid-streamed", "sid-vectorised"]


def rows_of(*names: str) -> pd.DataFrame:
    return pd.DataFrame({"series": names, "method": names})


def test_every_series_has_enough_contrast_and_its_own_colour() -> None:
    look = look_of(rows_of(*OWN, "theirs", "another's"))
    assert len(set(look.colours.values())) == len(OWN) + 2
    for series in look.order:
        assert contrast(look.colours[series], "#ffffff") >= 3
        assert contrast(look.text_colours[series], "#ffffff") >= 4.5


def test_the_methods_own_colours_need_no_darkening() -> None:
    for name in OWN:
        method = known_method(name)
        assert method is not None
        assert look_of(rows_of(name)).colours[name] == method.colour


def test_a_series_looks_the_same_in_each_figure_of_a_report() -> None:
    frame = pd.DataFrame({"series": ["sid a", "sid b", "bp"], "method": ["sid-streamed", "sid-streamed", "bp"]})
    look = look_of(frame)
    assert (look.colours["sid a"], look.markers["sid a"]) != (look.colours["sid b"], look.markers["sid b"])
    assert look == look_of(frame.iloc[::-1])


@given(st.floats(1e-9, 1e9), st.floats(1.0, 1e9), st.integers(2, 9))
def test_logarithmic_ticks_are_round_few_and_within_the_axis(low: float, factor: float, most: int) -> None:
    ticks = log_ticks(low, low * factor, most)
    assert len(ticks) <= most
    assert all(after > before for before, after in pairwise(ticks))
    assert all(low * 0.999 <= tick <= low * factor * 1.001 for tick in ticks)
    assert all(len(f"{tick:.3e}".rstrip("0").split("e")[0].replace(".", "")) <= 4 for tick in ticks)


@settings(deadline=None)  # the first axes take longer
@given(st.floats(1e-6, 1e6), st.floats(1.0, 1e6))
def test_a_logarithmic_axis_has_ticks_to_read(low: float, factor: float) -> None:
    axes = WIDE.figure(2).subplots()
    assert isinstance(axes, Axes)
    use_log(axes.yaxis, low, low * factor)
    bottom, top = axes.get_ylim()
    assert bottom < low <= low * factor < top
    assert len(axes.get_yticks()) >= 2


def test_values_that_are_near_one_another_share_a_tick() -> None:
    axes = WIDE.figure(2).subplots()
    assert isinstance(axes, Axes)
    use_values(axes.xaxis, [16, 1, 1.01, 4], log=True)
    assert axes.get_xticks().tolist() == [1, 4, 16]
    use_values(axes.xaxis, list(range(100)), log=False, most=5)
    assert axes.get_xticks().tolist() == [0, 20, 40, 60, 80]
    use_values(axes.xaxis, [0], log=False)
    assert axes.get_xticks().tolist() == [0]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0031, "0.31 %"),
        (0.031, "3.1 %"),
        (0.0996, "10 %"),
        (0.857, "86 %"),
        (0.996, "99.6 %"),
        (1, "100 %"),
        (2.5, "250 %"),
    ],
)
def test_shares_are_written_with_the_digits_that_matter(share: float, text: str) -> None:
    assert tick_percent(share) == text


def test_numbers_in_words() -> None:
    assert [times(value) for value in (0.857, 12.345, 140.2)] == ["0.86", "12.3", "140"]
    assert times(12.345, Interval(11.2, 140.2)) == "12.3 [11.2, 140.2]"
    assert times(0.997, Interval(0.995, 0.999)) == "0.997 [0.995, 0.999]"  # it excludes 1
    assert [counted(number, "method") for number in (0, 1, 2)] == ["no method", "1 method", "2 methods"]
    assert counted(1234, "process", "processes") == "1,234 processes"


@given(st.lists(st.text(max_size=300), min_size=1, max_size=5))
def test_a_finding_is_short_and_begins_with_its_first_sentence(sentences: list[str]) -> None:
    text = finding(*sentences)
    assert len(text) < 250
    first = next((sentence.strip() for sentence in sentences if sentence.strip()), "")
    assert text.startswith(first[:200].rstrip())


@given(st.lists(st.text(max_size=100), max_size=8))
def test_views_have_distinct_safe_names(texts: list[str]) -> None:
    names = view_names(texts)
    assert len(set(names)) == len(texts)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) for name in names)


def _view() -> View:
    look = look_of(rows_of("bp", "a <b> & $c$"))

    def draw(canvas: Canvas) -> MatplotlibFigure:
        figure = canvas.figure(3)
        axes = figure.subplots()
        use_log(axes.xaxis, 1, 32)
        for row, series in enumerate(look.order):
            draw_line(axes, series, [1, 32], [row, row + 0.123456789], look)
            draw_interval(axes, series, [2, 2], [row, row + 1], look)
            draw_mark(axes, row, series, 2, row, look)
        return figure

    wide, narrow = drawn_twice(draw)
    return View("of-two", "two methods", "1 < 2.", wide, narrow, pd.DataFrame({"method": look.order}), (None, None))


def test_a_drawing_is_small_and_leaves_the_page_alone() -> None:
    for svg in (_view().wide, _view().narrow):
        ElementTree.fromstring(svg)
        assert len(svg) < 8000
        assert not re.search(r"\d\.\d{3}", svg)
        assert not re.search(r"<style|<metadata|<!--|font-family: ", svg)
        assert "#ffffff" not in re.sub(r"var\([^)]*\)", "", svg)
        sizes = [float(size) for size in re.findall(r"font-size:\s*([\d.]+)px", svg)]
        assert sizes
        assert min(sizes) >= 9.5
        assert "--c-1c1c1c" in dark_variables([svg])


def test_a_drawing_is_a_file_of_its_own() -> None:
    figure = Figure("cost", "Cost", "cell", "Read it so.", (_view(),))
    ((name, text),) = figure_files([figure]).items()
    assert name == "cost-of-two.svg"
    root = ElementTree.fromstring(text)
    assert root.attrib["role"] == "img"
    assert "aria-hidden" not in root.attrib
    texts = {child.tag.rpartition("}")[2]: child.text for child in root}
    assert texts["title"] == "1 < 2."
    assert texts["desc"] == "Cost, two methods. Read it so."
    assert "var(" not in text
    assert 'data-series="a &lt;b&gt; &amp; $c$"' in text
    assert as_document(_view().wide, "t", "d").count("<title>") == 1
