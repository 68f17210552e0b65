"""The two sizes in which each view is drawn, and the SVG of a drawing."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure as MatplotlibFigure

from bench.report.figures.theme import with_variables

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
        return MatplotlibFigure(figsize=(self.width, height), layout="constrained")


_CANVASES = (Canvas("wide", _WIDE_INCHES), Canvas("narrow", _NARROW_INCHES))


def drawn_twice(draw: Callable[[Canvas], MatplotlibFigure]) -> tuple[str, str]:
    """Return the SVG of ``draw`` for wide pages and for narrow ones."""
    wide, narrow = (svg_of(draw(canvas)) for canvas in _CANVASES)
    return wide, narrow


def svg_of(figure: MatplotlibFigure) -> str:
    """Return the ``<svg>`` element of ``figure``, whose colours follow the theme of the page around it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return with_variables(text[text.index("<svg") :])
