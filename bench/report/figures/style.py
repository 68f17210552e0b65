"""The look of the figures, and their SVG."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.series import method_place, ordered_series
from bench.config.methods import known_method

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sid-bench",
    "font.size": 10,
    "axes.titlesize": 10,
    "text.parse_math": False,  # names in records may contain dollar signs
}
_OTHER_COLOURS = ("#8c564b", "#b8a800", "#7b4fa3")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")
PANEL_INCHES = (4.2, 3.3)
GREY = "#888888"
RED = "#c0392b"


@dataclass(frozen=True)
class Figure:
    """A drawn figure.

    Attributes:
        name: identifier, used for the element's id and for file names.
        title: heading.
        caption: what a reader needs to know to read the figure.
        svg: markup of the ``<svg>`` element.
        data: the numbers that the figure shows.
        alternative: text alternative, a sentence or two.
    """

    name: str
    title: str
    caption: str
    svg: str
    data: pd.DataFrame
    alternative: str


@dataclass(frozen=True)
class Look:
    """The series of a figure in order, and the colour and marker of each."""

    order: list[str]
    colours: dict[str, Any]
    markers: dict[str, str]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the style of the report, starting from matplotlib's defaults.

    The user's matplotlibrc has no effect. Figures are drawn without pyplot, so neither has the backend.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        style: Any = dict(sns.axes_style("whitegrid", {"grid.color": "#e4e4e4"})) | _STYLE
        mpl.rcParams.update(style)
        yield


def look_of(rows: pd.DataFrame) -> Look:
    """Return the look of the series of ``rows``; a method has the same colour and marker in every figure."""
    order = ordered_series(rows)
    methods = dict(zip(rows["series"], rows["method"], strict=True))
    colours, markers, seen = {}, {}, dict[str, int]()
    for series in order:
        method = methods[series]
        row = known_method(method)
        number = sum(map(ord, method))
        place = number if method_place(method) == float("inf") else int(method_place(method))
        repeat = seen.get(method, 0)
        seen[method] = repeat + 1
        colour = (row.colour if row is not None else None) or _OTHER_COLOURS[number % len(_OTHER_COLOURS)]
        colours[series] = sns.light_palette(colour, 4)[-1 - repeat % 3]
        markers[series] = _MARKERS[(place + 4 * repeat) % len(_MARKERS)]
    return Look(order, colours, markers)


def figure_svg(figure: MatplotlibFigure) -> str:
    """Return the ``<svg>`` element of ``figure``."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def with_own_ids(svg: str, prefix: str) -> str:
    """Return ``svg`` with a prefix on every identifier, so that several figures can share a page."""
    svg = svg.replace("<svg ", '<svg aria-hidden="true" ', 1)  # the surrounding element has the text alternative
    return re.sub(r"<[^>]*>", lambda tag: _with_prefix(tag[0], prefix), svg)


def _with_prefix(tag: str, prefix: str) -> str:
    tag = re.sub(r'\bid="', f'id="{prefix}-', tag)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", tag)
