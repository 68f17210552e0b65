"""Direct labels: none upon another, all within the drawing, for up to twenty methods and any names."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.transforms import Bbox

from bench.report.figures.axes import use_log
from bench.report.figures.canvas import NARROW, WIDE, Canvas
from bench.report.figures.labels import Label, label_ends, label_points, moved_apart, shortened
from bench.report.figures.style import drawing

COUNTS = [1, 6, 20]
NAMES = {
    "short": "sid-{}",
    "usual": "sid-streamed chunk {}",
    "long": "sid-streamed recompute trunk, precision bfloat16, micro-batches {}" + "x" * 140,
}
SPREADS = {"apart": 1.0, "coincident": 0.0}


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=20),
    st.floats(0.1, 10),
)
def test_labels_are_moved_apart_within_their_bounds(wanted: list[float], gap: float) -> None:
    low, high = -100.0, 100.0 + gap * len(wanted)
    moved = moved_apart(wanted, gap, low, high)
    assert all(low - 1e-6 <= place <= high + 1e-6 for place in moved)
    assert all(after - before >= gap - 1e-6 for before, after in pairwise(sorted(moved)))
    order = np.argsort(wanted, kind="stable")
    assert list(np.argsort(moved, kind="stable")) == list(order)
    if all(after - before >= gap for before, after in pairwise(sorted(wanted))):
        assert moved == pytest.approx(wanted)


def test_labels_that_compete_share_the_shift() -> None:
    assert moved_apart([5.0, 5.0], 2.0, 0.0, 10.0) == [4.0, 6.0]
    assert moved_apart([0.0, 9.9, 10.0], 2.0, 0.0, 10.0) == [0.0, 8.0, 10.0]
    assert moved_apart([1.0, 2.0, 3.0], 5.0, 0.0, 6.0) == [0.0, 5.0, 10.0]  # too many: they pass the upper end


def test_a_long_name_keeps_both_ends() -> None:
    assert shortened("a\n b") == "a b"
    assert shortened("abcdefghij", 6) == "abc…ij"
    assert len(shortened("x" * 200)) == 48


def _points(count: int, spread: float) -> list[tuple[float, float]]:
    generator = np.random.default_rng(count)
    logs = generator.normal(0, 1, (count, 2)) * spread
    return [(float(np.exp(0.3 * x)), float(np.exp(y))) for x, y in logs]


def _labelled(canvas: Canvas, kind: str, count: int, name: str, spread: float) -> MatplotlibFigure:
    points = _points(count, spread)
    labels = [Label(f"series {index}", name.format(index), at, "#0072b2") for index, at in enumerate(points)]
    figure = canvas.figure(4.0)
    axes = figure.subplots()
    use_log(axes.xaxis, min(x for x, _ in points), max(x for x, _ in points))
    use_log(axes.yaxis, min(y for _, y in points), max(y for _, y in points), room=0.14)
    axes.set_xlabel("across")
    (label_ends if kind == "ends" else label_points)(axes, labels)
    return figure


def _boxes(figure: MatplotlibFigure) -> list[Bbox]:
    return [text.get_window_extent() for text in figure.texts if text.get_text()]


@pytest.mark.parametrize("canvas", [WIDE, NARROW], ids=lambda canvas: canvas.kind)
@pytest.mark.parametrize("kind", ["ends", "points"])
@pytest.mark.parametrize("spread", SPREADS.values(), ids=SPREADS)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.long
def test_no_label_is_upon_another_or_leaves_the_drawing(canvas: Canvas, kind: str, spread: float, name: str) -> None:
    for count in COUNTS:
        with drawing():
            figure = _labelled(canvas, kind, count, name, spread)
            boxes = _boxes(figure)
            tick_texts = [text.get_window_extent() for text in figure.axes[0].get_xticklabels() if text.get_text()]
            size = figure.bbox
        assert len(boxes) in (count, 2 * count)  # or numbers and a key
        for one, other in combinations(boxes, 2):
            assert not (one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)
        for box in boxes:
            assert box.x0 >= -0.5
            assert box.x1 <= size.x1 + 0.5
            assert box.y0 >= -0.5
            assert box.y1 <= size.y1 + 0.5
            if kind == "ends" or len(boxes) == count:
                continue
            assert not any(box.overlaps(tick) for tick in tick_texts)


def test_names_that_are_too_wide_become_numbers_with_a_key() -> None:
    with drawing():
        figure = _labelled(NARROW, "ends", 3, NAMES["long"], 1.0)
    texts = [text.get_text() for text in figure.texts]
    assert sorted(texts[:3]) == ["1", "2", "3"]
    assert [text[:2] for text in texts[3:]] == ["1 ", "2 ", "3 "]
    assert {text.get_gid() for text in figure.texts} == {f"series:series%20{index}" for index in range(3)}


def test_lines_to_labels_are_dotted_and_belong_to_the_series() -> None:
    with drawing():
        figure = _labelled(WIDE, "ends", 7, NAMES["usual"], 0.0)
    lines = [line for line in figure.artists if line.get_gid()]
    assert {line.get_gid() for line in lines} <= {f"series:series%20{index}" for index in range(7)}
    assert len(lines) >= 6
    assert {line.get_linestyle() for line in lines} == {"--"}  # what matplotlib calls any pattern
