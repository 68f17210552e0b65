"""Colours of drawings as CSS variables, and their values on a dark page.

A drawing uses light colours. In its SVG, ``#0072b2`` becomes ``var(--c-0072b2,#0072b2)``: the page overrides the
variable where the reader prefers a dark page, and outside a page the colour is what was drawn.
"""

import colorsys
import re
from collections.abc import Iterable

LIGHT_PAPER = "#ffffff"
DARK_PAPER = "#14181f"
LEAST_CONTRAST = 3.0  # of marks, WCAG 2.2, 1.4.11
LEAST_TEXT_CONTRAST = 4.5  # of text, WCAG 2.2, 1.4.3

_COLOUR = re.compile(r"(?<=[:\s\"])#([0-9a-f]{6})\b")


def with_variables(svg: str) -> str:
    """Return ``svg`` with each colour as a CSS variable that has the colour as its fallback."""
    return _COLOUR.sub(lambda found: f"var(--c-{found[1]},#{found[1]})", svg)


def without_variables(svg: str) -> str:
    """Return ``svg`` with plain colours in place of the variables of :func:`with_variables`."""
    return re.sub(r"var\(--c-[0-9a-f]{6},(#[0-9a-f]{6})\)", r"\1", svg)


def dark_variables(svgs: Iterable[str]) -> str:
    """Return CSS declarations of every colour variable in ``svgs`` for a dark page."""
    used = sorted({found for svg in svgs for found in re.findall(r"var\(--c-([0-9a-f]{6}),", svg)})
    return " ".join(f"--c-{name}: {on_dark(f'#{name}')};" for name in used)


def on_dark(colour: str) -> str:
    """Return the counterpart of ``colour`` on a dark page: of its hue, with as much contrast as it has on white.

    A contrast below that of a mark (grid lines, shades) is kept low; any other is at least :data:`LEAST_CONTRAST`.
    """
    if colour == LIGHT_PAPER:
        return DARK_PAPER
    hue, _, saturation = colorsys.rgb_to_hls(*_channels(colour))
    wanted = contrast(colour, LIGHT_PAPER)
    wanted = max(wanted, LEAST_CONTRAST) if wanted >= 2 else wanted
    steps = (step / 100 for step in range(101))
    candidates = [_hex(colorsys.hls_to_rgb(hue, light, min(saturation, 0.85))) for light in steps]
    lighter = [found for found in candidates if _luminance(found) >= _luminance(DARK_PAPER)]
    enough = [found for found in lighter if contrast(found, DARK_PAPER) >= min(wanted, 13)]
    return enough[0] if enough else candidates[-1]


def with_contrast(colour: str, least: float, paper: str = LIGHT_PAPER) -> str:
    """Return ``colour``, darkened as far as its contrast on ``paper`` needs to reach ``least``."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    while contrast(colour, paper) < least:
        lightness -= 0.01
        colour = _hex(colorsys.hls_to_rgb(hue, lightness, saturation))
    return colour


def lightened(colour: str, by: float) -> str:
    """Return ``colour`` with a lightness that is greater by ``by``, at most 0.9."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    return _hex(colorsys.hls_to_rgb(hue, max(lightness, min(lightness + by, 0.9)), saturation))


def contrast(colour: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    darker, lighter = sorted((_luminance(colour), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in _channels(colour))
    red, green, blue = linear
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return red, green, blue


def _hex(channels: tuple[float, float, float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in channels)
