"""The SVG of a drawing: small, and with colours that follow the page around it."""

import io
import re
from functools import cache
from typing import Literal

from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from bench.report.figures.compact import compacted
from bench.report.figures.style import GRID
from bench.report.figures.theme import with_variables

_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_TAG = re.compile(r"<[^>]*>")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_ID = re.compile(r'(\bid|href)="[^"]*"')
_OWN_ID = re.compile(r' id="(?!mark:|series:)([^"]*)"')


def svg_of(figure: MatplotlibFigure) -> str:
    """Return the ``<svg>`` element of ``figure``, whose colours follow the theme of the page around it.

    Numbers are rounded to tenths of a point, and what a page does not need is left out. The layout is that of the
    figure's own canvas: the one that draws SVG measures text in another way, and would move what labels point at.
    """
    lay_out(figure)
    figure.set_layout_engine("none")
    text = _written(figure)
    return with_variables(compacted(_shortened(text[text.index("<svg") :].strip()), GRID))


def lay_out(figure: MatplotlibFigure) -> None:
    """Lay ``figure`` out if its layout is not final, so that positions in pixels hold until something moves."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)


class _Renderer(RendererSVG):
    """Writes SVG, and measures each text once, in whichever drawing it is."""

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: bool | Literal["TeX"]
    ) -> tuple[float, float, float]:
        """Return what the text ``s`` needs, points."""
        return _measured(s, prop, ismath)


@cache
def _measured(text: str, font: FontProperties, is_math: bool | Literal["TeX"]) -> tuple[float, float, float]:
    return TextToPath().get_text_width_height_descent(text, font, is_math)


def _written(figure: MatplotlibFigure) -> str:
    """Return what matplotlib writes for ``figure``."""
    buffer = io.StringIO()
    width, height = figure.get_size_inches() * figure.dpi
    metadata = {"Date": None, "Creator": None}
    renderer = _Renderer(width, height, buffer, metadata=metadata)  # type: ignore[no-untyped-call]
    figure.draw(renderer)
    renderer.finalize()  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _shortened(svg: str) -> str:
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    # Rules in a <style> element would apply to the whole page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", f'<svg font-family="{_FONTS}" stroke-linejoin="round" stroke-linecap="butt" ', 1)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"(?<=; )?font-family: [^;\"]*;? ?", "", svg)
    svg = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", svg)
    svg = svg.replace(' xmlns:xlink="http://www.w3.org/1999/xlink"', "").replace("xlink:href=", "href=")
    svg = _TAG.sub(lambda tag: _rounded(tag[0]), svg)
    referenced = set(re.findall(r'(?:url\(#|href="#)([^")]*)', svg))
    svg = _OWN_ID.sub(lambda found: found[0] if found[1] in referenced else "", svg)
    svg = re.sub(r"<g>\s*((?:<(?:path|use|rect)\b[^>]*/>\s*)+)</g>", r"\1", svg)
    return re.sub(r">\s*\n\s*<", "><", svg)


def _rounded(tag: str) -> str:
    """Return ``tag`` with rounded numbers in every attribute but identifiers."""
    parts, end = [], 0
    for found in _ID.finditer(tag):
        parts += [_rounded_text(tag[end : found.start()]), found[0]]
        end = found.end()
    return " ".join(("".join(parts) + _rounded_text(tag[end:])).split())


def _rounded_text(text: str) -> str:
    return _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".rstrip("0").rstrip(".") or "0", text)
