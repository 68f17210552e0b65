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
_KEY_LINE_INCHES = {"wide": 0.2, "narrow": 0.24}
_TITLE_CHARACTERS = {"wide": 30, "narrow": 17}


class Word(NamedTuple):
    """What a colour means."""

    text: str
    colour: str


def make_multiples(
    canvas: Canvas, count: int, panel_inches: float, words: Sequence[Word]
) -> tuple[MatplotlibFigure, list[Axes]]:
    """Return an empty figure with ``count`` panels under a line of ``words``, and the axes of the panels.

    Args:
        canvas: the size of the drawing.
        count: number of panels, one or more.
        panel_inches: height of a panel with its title and its axis.
        words: the meaning of each colour.
    """
    columns = min(_COLUMNS[canvas.kind], count)
    lines = -(-count // columns)
    key_lines = -(-len(words) // _KEY_COLUMNS[canvas.kind])
    key_inches = _KEY_LINE_INCHES[canvas.kind] * key_lines
    figure = canvas.figure(key_inches + panel_inches * lines)
    grid = figure.add_gridspec(lines + 1, columns, height_ratios=[key_inches, *[panel_inches] * lines])
    _write_key(figure.add_subplot(grid[0, :]), words, key_lines, _KEY_COLUMNS[canvas.kind])
    return figure, [figure.add_subplot(grid[1 + at // columns, at % columns]) for at in range(count)]


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
        style = {"color": with_contrast(word.colour, LEAST_TEXT_CONTRAST), "fontsize": FONT_SIZE}
        axes.annotate(word.text, place, (7, 0), textcoords="offset points", va="center", **style)
