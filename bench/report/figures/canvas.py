"""The two sizes in which each view is drawn, and the SVG of a drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure as MatplotlibFigure

from bench.report.figures.style import drawing
from bench.report.figures.svg import svg_of

_DPI = 72
_WIDE_INCHES = 10.0  # 960 CSS pixels, the width of a figure on the page
_NARROW_INCHES = 3.75  # 360 CSS pixels, the width that a page of 400 has room for


@dataclass(frozen=True)
class Canvas:
    """The size of a drawing.

    Attributes:
        kind: which of the two it is.
        width: inches; 96 CSS pixels each.
    """

    kind: Literal["wide", "narrow"]
    width: float

    def figure(self, height: float) -> MatplotlibFigure:
        """Return an empty figure of this width and ``height`` inches, whose parts are laid out without overlap."""
        figure = MatplotlibFigure(figsize=(self.width, height), dpi=_DPI, layout="constrained")
        Measuring(figure)
        return figure


class Measuring(FigureCanvasAgg):
    """A canvas that measures text, and draws nothing: all have one renderer, so that each text is measured once."""

    def get_renderer(self) -> RendererAgg:
        """Return the renderer."""
        return _renderer()


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, _DPI)  # type: ignore[no-untyped-call]


WIDE = Canvas("wide", _WIDE_INCHES)
NARROW = Canvas("narrow", _NARROW_INCHES)


def drawn_twice(draw: Callable[[Canvas], MatplotlibFigure]) -> tuple[str, str]:
    """Return the SVG of ``draw`` for wide pages and for narrow ones, in the style of the report."""
    with drawing():
        wide, narrow = (svg_of(draw(canvas)) for canvas in (WIDE, NARROW))
    return wide, narrow
