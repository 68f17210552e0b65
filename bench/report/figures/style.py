"""The look of the figures: matplotlib's settings, and one colour and one marker for each series of a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns

from bench.analysis.series import method_place, ordered_series
from bench.config.methods import known_method
from bench.report.figures.theme import LEAST_CONTRAST, LEAST_TEXT_CONTRAST, lightened, with_contrast

# Text of at least 9.5 pt is 12.7 CSS pixels high. Text in black has no fill, so it follows the ink of the page, and the
# background is that of the page.
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sid-bench",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, and is wider than the fonts of most pages
    "font.size": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.titlesize": 10,
    "axes.titley": 1.0,  # no ticks are above axes, and to look for some takes long
    "axes.labelsize": 10,
    "axes.labelcolor": "black",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "text.color": "black",
    "text.parse_math": False,  # names in records may contain dollar signs
    "grid.linewidth": 0.6,
}
_OTHER_COLOURS = ("#8c564b", "#857900", "#7b4fa3", "#b0413e", "#33691e", "#5a6fb0")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "p")
GREY = "#767676"  # of reference lines and of text that belongs to no series
GRID = "#e4e4e4"
BAND = "#f3d9c4"  # of the Pareto front
RULE = "#d8d8d8"  # that joins two marks


@dataclass(frozen=True)
class Look:
    """The series of a report in order, and how each is drawn.

    Attributes:
        order: the names of the series.
        colours: of marks and lines, ``#rrggbb``, with a contrast of 3:1 or more on white.
        text_colours: of labels, of the same hue, with a contrast of 4.5:1 or more on white.
        markers: of matplotlib.
    """

    order: list[str]
    colours: dict[str, str]
    text_colours: dict[str, str]
    markers: dict[str, str]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the style of the report, starting from matplotlib's defaults.

    The user's matplotlibrc has no effect. Figures are drawn without pyplot, so neither has the backend.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        style: Any = dict(sns.axes_style("whitegrid", {"grid.color": GRID})) | _STYLE
        mpl.rcParams.update(style)
        yield


def look_of(rows: pd.DataFrame) -> Look:
    """Return the look of the series of ``rows``.

    A method has the same colour and marker in every report. Further series of one method, such as those of several
    alpha, differ in marker and lightness. Sections pass all rows of the report, so that a series looks the same in each
    of its figures.

    Args:
        rows: with the columns ``series`` and ``method``.
    """
    order = ordered_series(rows)
    methods = dict(zip(rows["series"], rows["method"], strict=True))
    others = sorted({method for method in methods.values() if _own_colour(method) is None})
    colours, text_colours, markers, seen = {}, {}, {}, dict[str, int]()
    for series in order:
        method = methods[series]
        colour = _own_colour(method) or _OTHER_COLOURS[others.index(method) % len(_OTHER_COLOURS)]
        place = method_place(method)
        number = sum(map(ord, method)) if place == float("inf") else int(place)
        repeat = seen.get(method, 0)
        seen[method] = repeat + 1
        colours[series] = with_contrast(lightened(colour, 0.16 * (repeat % 3)), LEAST_CONTRAST)
        text_colours[series] = with_contrast(colours[series], LEAST_TEXT_CONTRAST)
        markers[series] = _MARKERS[(number + 4 * repeat) % len(_MARKERS)]
    return Look(order, colours, text_colours, markers)


def _own_colour(method: str) -> str | None:
    row = known_method(method)
    return None if row is None else row.colour
