"""Small multiples: one panel per method, and a line of words that says what the colours mean."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.report.figures.canvas import Canvas
from bench.report.figures.labels import FONT_SIZE
from bench.report.figures.theme import LEAST_TEXT_CONTRAST, with_contrast

_COLUMNS = {"wide": 3, "narrow": 2}
_KEY_COLUMNS = {"wide": 4, "narrow": 2}
_LINE_INCHES = 0.19  # of text
_AXIS_INCHES = 0.48  # of the labels under the lowest panels
_CHARACTER_INCHES = 0.085
_GAP_INCHES = 0.08
_TITLE_CHARACTERS = {"wide": 30, "narrow": 17}


class Panel(NamedTuple):
    """The axes of a method.

    Attributes:
        axes: where to draw.
        is_first: whether it is the first of its line, so that it shows the labels of a common vertical axis.
        is_last: whether there is no panel below, so that it shows the labels of a common horizontal axis.
    """

    axes: Axes
    is_first: bool
    is_last: bool


class Word(NamedTuple):
    """What a colour means."""

    text: str
    colour: str


def make_multiples(
    canvas: Canvas, count: int, words: Sequence[Word], *, inches: float, title_lines: int, longest_label: int
) -> tuple[MatplotlibFigure, list[Panel]]:
    """Return an empty figure with ``count`` panels under a line of ``words``, and its panels.

    The places of the panels are set here: to measure the texts of so many axes takes several times as long.

    Args:
        canvas: the size of the drawing.
        count: number of panels, one or more.
        words: the meaning of each colour.
        inches: height of a panel without its title and its labels.
        title_lines: lines of the longest title.
        longest_label: characters of the longest label left of a panel.
    """
    columns = min(_COLUMNS[canvas.kind], count)
    lines = -(-count // columns)
    key_lines = -(-len(words) // _KEY_COLUMNS[canvas.kind])
    key = _LINE_INCHES * key_lines + _GAP_INCHES
    title = _LINE_INCHES * title_lines + _GAP_INCHES
    left = _CHARACTER_INCHES * longest_label + 2 * _GAP_INCHES
    height = key + (title + inches + _GAP_INCHES) * lines + _AXIS_INCHES
    across = (canvas.width - _GAP_INCHES) / columns
    figure = canvas.figure(height)
    figure.set_layout_engine("none")

    def box(x: float, top: float, width: float, high: float) -> tuple[float, float, float, float]:
        return x / canvas.width, 1 - (top + high) / height, width / canvas.width, high / height

    key_box = box(2 * _GAP_INCHES, _GAP_INCHES, canvas.width - 2 * _GAP_INCHES, _LINE_INCHES * key_lines)
    _write_key(figure.add_axes(key_box), words, key_lines, _KEY_COLUMNS[canvas.kind])
    panels = []
    for at in range(count):
        line, column = divmod(at, columns)
        top = key + title + (title + inches + _GAP_INCHES) * line
        axes = figure.add_axes(box(across * column + left, top, across - left - _GAP_INCHES, inches))
        panels.append(Panel(axes, column == 0, at + columns >= count))
    return figure, panels


def title_of(canvas: Canvas, name: str) -> str:
    """Return ``name`` as the title of a panel, on two lines where it is long."""
    return "\n".join(textwrap.wrap(name, _TITLE_CHARACTERS[canvas.kind], max_lines=2, placeholder="…"))


def _write_key(axes: Axes, words: Sequence[Word], lines: int, columns: int) -> None:
    axes.set_axis_off()
    axes.set_ylim(lines, 0)
    axes.set_xlim(0, columns)
    for number, word in enumerate(words):
        line, column = divmod(number, columns)
        place = (column, line + 0.5)
        axes.plot(*place, marker="s", markersize=6.5, color=word.colour, linestyle="none", clip_on=False)
        written = axes.annotate(word.text, place, (7, 0), textcoords="offset points", va="center")
        written.set(color=with_contrast(word.colour, LEAST_TEXT_CONTRAST), fontsize=FONT_SIZE)
