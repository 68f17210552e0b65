"""Direct labels: the names of series at the ends of their lines or beside their points, none upon another.

These functions are called once a figure, when all else is drawn and the limits of the axes are set. They make the
figure higher where their text needs room, and their layout is final. Where names are too wide for the figure, marks
are labelled with numbers, and a key under the drawing lists the names.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.report.figures.canvas import Measuring
from bench.report.figures.marks import series_gid
from bench.report.figures.svg import lay_out

FONT_SIZE = 9.5
_MOST_CHARACTERS = 48
_WIDEST = 0.36  # of the figure: the share that names at the ends of lines may take
_WIDEST_BESIDE = 0.3  # of the figure: the widest name that stands beside a point
_LINE_SPACING = 1.2
_GAP = 0.2  # inches between axes and the column of labels
_MARK = 0.07  # inches: half of the side of a mark with some room
_RADII = (
    0.03,
    0.08,
    0.15,
    0.24,
    0.35,
    0.5,
    0.7,
    0.95,
    1.25,
    1.6,
    2.0,
    2.5,
    3.1,
    3.8,
)  # inches from a mark to its label
_ANGLES = tuple(math.radians(degrees) for degrees in (0, 180, 45, -45, 90, -90, 135, -135, 20, -20, 70, -70, 160, -160))
_MOST_TRIES = 3  # to place names beside points, in a figure that gets higher
_GROWTH = 0.5  # inches
Rule = Literal["all", "no lines", "anything"]
_LEADER_FROM = 0.15  # inches between a mark and its label from which on a line joins them


@dataclass(frozen=True)
class Label:
    """The label of a mark or of the end of a line.

    Attributes:
        series: the series that it belongs to.
        text: what it says; shortened where it is long.
        at: the mark, in data coordinates.
        colour: of the text, see :attr:`bench.report.figures.style.Look.text_colours`.
    """

    series: str
    text: str
    at: tuple[float, float]
    colour: str


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return ``text`` on one line, with an ellipsis in its middle if it has more than ``most`` characters."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def label_ends(axes: Axes, labels: Sequence[Label]) -> None:
    """Write ``labels`` in a column right of ``axes``, each as near to the height of its end as the others let it."""
    label_ends_of_panels({axes: labels})


def label_ends_of_panels(panels: Mapping[Axes, Sequence[Label]]) -> None:
    """Do as :func:`label_ends` does in each of several axes, which stand one above another in one figure."""
    panels = {axes: _from_the_top(axes, labels) for axes, labels in panels.items() if labels}
    if not panels:
        return
    figure = _figure_of(next(iter(panels)))
    dpi, gap = figure.dpi, _GAP * figure.dpi
    texts = {axes: _texts(figure, labels, _names(labels)) for axes, labels in panels.items()}
    every = [text for of_panel in texts.values() for text in of_panel]
    if _widest(figure, every) > _WIDEST * _size(figure)[0]:
        _use_numbers(figure, [label for labels in panels.values() for label in labels], every)
    line = _highest(figure, every) * _LINE_SPACING
    _reserve(figure, right=_widest(figure, every) + gap + 0.04 * dpi)
    lay_out(figure)
    missing = max(line * len(labels) - axes.get_window_extent().height for axes, labels in panels.items())
    if missing > 0:
        _grow(figure, missing * len(figure.axes) / dpi)
        lay_out(figure)
    for axes, labels in panels.items():
        box = axes.get_window_extent()
        marks = [_in_pixels(axes, label) for label in labels]
        heights = moved_apart([y for _, y in marks], line, box.y0 + line / 2, box.y1 - line / 2)
        for label, text, (x, y), height in zip(labels, texts[axes], marks, heights, strict=True):
            left = box.x1 + gap
            _place(figure, text, left, height)
            start = x + _MARK * dpi
            if left - start > 1.2 * gap or abs(height - y) > line / 4:
                _join(figure, label, (start, y), (left - 0.03 * dpi, height))
    figure.set_layout_engine("none")


def label_points(axes: Axes, labels: Sequence[Label], avoid: Sequence[Bbox] = ()) -> None:
    """Write each of ``labels`` beside its point, within ``axes``, upon no other label, point or box to ``avoid``.

    Args:
        axes: where the points are.
        labels: one for each point.
        avoid: further boxes that no label covers, in data coordinates, such as intervals.
    """
    if not labels:
        return
    figure = _figure_of(axes)
    labels = _from_the_top(axes, labels)
    texts = _texts(figure, labels, _names(labels))
    are_too_wide = _widest(figure, texts) > _WIDEST_BESIDE * _size(figure)[0]
    for _ in range(0 if are_too_wide else _MOST_TRIES):
        if _place_beside(figure, axes, labels, texts, avoid, "all"):
            return
        _grow(figure, _GROWTH)
    _use_numbers(figure, labels, texts)
    rules: list[Rule] = ["all", "all", "no lines", "no lines", "no lines", "anything"]
    for rule in rules:
        if _place_beside(figure, axes, labels, texts, avoid, rule):
            return
        _grow(figure, _GROWTH)


def moved_apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return the positions nearest to ``wanted`` (least squares) that are ``gap`` apart, between ``low`` and ``high``.

    The order of positions is kept. Where they need more room than there is, they begin at ``low`` and pass ``high``.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    blocks: list[tuple[float, int]] = []  # sum and number of positions that share a place once the gaps are taken away
    for place, index in enumerate(order):
        total, count = wanted[index] - place * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            before, several = blocks.pop()
            total, count = total + before, count + several
        blocks.append((total, count))
    last = max(low, high - (len(wanted) - 1) * gap)
    places = [min(max(total / count, low), last) for total, count in blocks for _ in range(count)]
    moved = [0.0] * len(wanted)
    for place, index in enumerate(order):
        moved[index] = places[place] + place * gap
    return moved


def _place_beside(
    figure: MatplotlibFigure,
    axes: Axes,
    labels: Sequence[Label],
    texts: Sequence[Text],
    avoid: Sequence[Bbox],
    rule: Rule,
) -> bool:
    """Place every text beside its point; return whether there was room.

    Under the rule ``all``, no text is upon another, upon a mark or a box to ``avoid``, and no line from a mark to its
    text crosses a text. ``no lines`` allows lines to cross, and ``anything`` allows all: there is always room.
    """
    lay_out(figure)
    dpi, inside = figure.dpi, axes.get_window_extent()
    marks = [_in_pixels(axes, label) for label in labels]
    half = _MARK * dpi
    taken = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in marks]
    covered = [Bbox(axes.transData.transform(box.get_points())) for box in avoid]
    leaders: list[tuple[int, tuple[float, float], tuple[float, float]]] = []
    found: list[tuple[float, float]] = []
    for index in range(len(labels)):
        size = _size_of(texts[index].get_text(), dpi)
        place = _free_place(marks[index], size, half, taken, covered, inside, dpi, rule)
        if place is None:
            return False
        box, start, end = place
        found.append((box.x0, (box.y0 + box.y1) / 2))
        taken.append(box.padded(0.04 * dpi, 0))
        if math.dist(start, end) > _LEADER_FROM * dpi:
            leaders.append((index, start, end))
            taken += _along(start, end) if rule == "all" else []
    for text, (left, middle) in zip(texts, found, strict=True):
        _place(figure, text, left, middle)
    for index, start, end in leaders:
        _join(figure, labels[index], start, end)
    figure.set_layout_engine("none")
    return True


def _free_place(
    mark: tuple[float, float],
    size: tuple[float, float],
    half: float,
    taken: Sequence[Bbox],
    covered: Sequence[Bbox],
    inside: Bbox,
    dpi: float,
    rule: Rule,
) -> tuple[Bbox, tuple[float, float], tuple[float, float]] | None:
    """Return the nearest free box beside ``mark``, and the ends of a line from the mark to it; None without one.

    Neither is upon a box of ``taken``, and the box is upon none of ``covered``.
    """
    width, height = size
    own = Bbox.from_extents(mark[0] - half, mark[1] - half, mark[0] + half, mark[1] + half)
    apart = [box for box in taken if not _overlap(own, box)]  # a line may begin on a mark that covers its own
    for radius in _RADII:
        for angle in _ANGLES:
            across, up = math.cos(angle), math.sin(angle)
            distance = half + radius * dpi
            end = (mark[0] + across * distance, mark[1] + up * distance)
            left = end[0] - width * (1 - across) / 2
            low = end[1] - height * (1 - up) / 2
            box = Bbox.from_extents(left, low, left + width, low + height)
            if not (inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1):
                continue
            start = (mark[0] + across * half, mark[1] + up * half)
            if rule == "anything":
                return box, start, end
            line = _along(start, end) if radius > _LEADER_FROM and rule == "all" else []
            is_free = not any(_overlap(box, other) for other in (*taken, *covered))
            if is_free and not any(_overlap(one, other) for one in line for other in apart):
                return box, start, end
    return None


def _along(start: tuple[float, float], end: tuple[float, float]) -> list[Bbox]:
    """Return small boxes that cover the line from ``start`` to ``end``."""
    count = max(1, int(math.dist(start, end) / 3))
    points = [
        tuple(first + (last - first) * step / count for first, last in zip(start, end, strict=True))
        for step in range(1, count)
    ]
    return [Bbox.from_extents(x - 1, y - 1, x + 1, y + 1) for x, y in points]


def _overlap(one: Bbox, other: Bbox) -> bool:
    return bool(one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)


def _from_the_top(axes: Axes, labels: Sequence[Label]) -> list[Label]:
    return sorted(labels, key=lambda label: -_in_pixels(axes, label)[1])


def _texts(figure: MatplotlibFigure, labels: Sequence[Label], names: Sequence[str]) -> list[Text]:
    texts = []
    for label, name in zip(labels, names, strict=True):
        text = figure.text(0, 0, name, color=label.colour, fontsize=FONT_SIZE)
        text.set_gid(series_gid(label.series))
        text.set_in_layout(False)
        texts.append(text)
    return texts


def _names(labels: Sequence[Label]) -> list[str]:
    return [shortened(label.text) for label in labels]


def _use_numbers(figure: MatplotlibFigure, labels: Sequence[Label], texts: Sequence[Text]) -> None:
    """Number the labels, one number for each name, and list the names under the drawing in columns."""
    numbers: dict[tuple[str, str], int] = {}
    for label, text in zip(labels, texts, strict=True):
        number = numbers.setdefault((label.series, text.get_text()), len(numbers) + 1)
        text.set_text(str(number))
    firsts = {label.series: label for label in labels}
    listed = [firsts[series] for series, _ in numbers]
    entries = [f"{number}  {name}" for (_, name), number in numbers.items()]
    _add_key(figure, _texts(figure, listed, entries))


def _add_key(figure: MatplotlibFigure, texts: Sequence[Text]) -> None:
    width = _size(figure)[0]
    margin = 0.08 * figure.dpi
    while _widest(figure, texts) > width - 2 * margin:
        most = max(len(text.get_text()) for text in texts) - 2
        for text in texts:
            text.set_text(shortened(text.get_text(), most))
    columns = max(1, int((width - margin) // (_widest(figure, texts) + 2 * margin)))
    rows = -(-len(texts) // columns)
    line = _highest(figure, texts) * _LINE_SPACING
    _grow(figure, (rows * line + margin) / figure.dpi)
    _reserve(figure, bottom=rows * line + margin)
    for index, text in enumerate(texts):
        column, row = divmod(index, rows)
        left = margin + column * (width - margin) / columns
        _place(figure, text, left, (rows - row - 0.5) * line)


def _figure_of(axes: Axes) -> MatplotlibFigure:
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 (axes are part of a figure)
    return figure


def _size(figure: MatplotlibFigure) -> tuple[float, float]:
    """Return width and height of ``figure``, pixels."""
    return figure.bbox.width, figure.bbox.height


def _widest(figure: MatplotlibFigure, texts: Sequence[Text]) -> float:
    return max(_size_of(text.get_text(), figure.dpi)[0] for text in texts)


def _highest(figure: MatplotlibFigure, texts: Sequence[Text]) -> float:
    return max(_size_of(text.get_text(), figure.dpi)[1] for text in texts)


@cache
def _size_of(words: str, dpi: float) -> tuple[float, float]:
    """Return width and height of a label, pixels."""
    figure = MatplotlibFigure(dpi=dpi)
    text = figure.text(0, 0, words, fontsize=FONT_SIZE)
    box = text.get_window_extent(Measuring(figure).get_renderer())
    return float(box.width), float(box.height)


def _reserve(figure: MatplotlibFigure, right: float = 0, bottom: float = 0) -> None:
    """Keep room right of the drawing and under it, pixels, besides what is kept already."""
    engine = figure.get_layout_engine()
    assert engine is not None  # noqa: S101 (of Canvas.figure)
    left, low, width, height = engine.get()["rect"]
    across, up = right / _size(figure)[0], bottom / _size(figure)[1]
    engine.set(rect=(left, low + up, width - across, height - up))  # type: ignore[call-arg]


def _grow(figure: MatplotlibFigure, inches: float) -> None:
    """Make ``figure`` higher; what stands under the drawing keeps its height."""
    before = _size(figure)[1]
    figure.set_figheight(figure.get_figheight() + inches)
    share = before / _size(figure)[1]
    engine = figure.get_layout_engine()
    assert engine is not None  # noqa: S101 (of Canvas.figure)
    left, low, width, _ = engine.get()["rect"]
    engine.set(rect=(left, low * share, width, 1 - low * share))  # type: ignore[call-arg]
    for text in figure.texts:
        across, up = text.get_position()
        text.set_position((across, up * share))


def _in_pixels(axes: Axes, label: Label) -> tuple[float, float]:
    x, y = axes.transData.transform(label.at)
    return float(x), float(y)


def _place(figure: MatplotlibFigure, text: Text, x: float, y: float) -> None:
    width, height = _size(figure)
    text.set_position((x / width, y / height))
    text.set_verticalalignment("center")
    text.set_horizontalalignment("left")


def _join(figure: MatplotlibFigure, label: Label, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw a thin dotted line from a mark to its label."""
    width, height = _size(figure)
    line = Line2D(
        [start[0] / width, end[0] / width],
        [start[1] / height, end[1] / height],
        transform=figure.transFigure,
        color=label.colour,
        linewidth=0.8,
        linestyle=(0, (1, 2)),  # dotted, as it is no data
    )
    line.set_gid(series_gid(label.series))
    line.set_in_layout(False)
    figure.add_artist(line)
