"""Drawings with one lane per method: its name, and what is written beside it."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.report.figures.canvas import Canvas
from bench.report.figures.labels import FONT_SIZE, shortened
from bench.report.figures.marks import series_gid

_FRAME_INCHES = 0.75  # of the axis and its label
_LANE_INCHES = {"wide": 0.5, "narrow": 0.72}
_NAME_ABOVE = 0.37  # of a lane: where its name stands in a narrow drawing
_GAP = 0.012  # of the axes: between them and a text beside them
_LONGEST_NAME = 32


class Lane(NamedTuple):
    """The texts of a lane.

    Attributes:
        place: number from the top, from 0.
        series: name, which a wide drawing shows left of the lane.
        colour: of the texts.
        notes: texts right of the lane in a wide drawing, each with its distance from the middle of the lane.
        heading: the text over the lane in a narrow drawing, in place of the others.
    """

    place: int
    series: str
    colour: str
    notes: Sequence[tuple[float, str]]
    heading: str


def make_lanes(canvas: Canvas, count: int, lane_inches: float | None = None) -> tuple[MatplotlibFigure, Axes]:
    """Return an empty figure with ``count`` lanes, and its axes, in which lane ``i`` has its middle at ``y = i``.

    Args:
        canvas: the size.
        count: of lanes.
        lane_inches: the height of a lane; None: what one mark and its notes need.
    """
    figure = canvas.figure(_FRAME_INCHES + (lane_inches or _LANE_INCHES[canvas.kind]) * count)
    axes = figure.subplots()
    axes.set_ylim(count - 0.5, -0.6)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure, axes


def write_lane(canvas: Canvas, axes: Axes, lane: Lane) -> None:
    """Write the texts of ``lane``."""
    if canvas.kind == "wide":
        texts = [(-_GAP, float(lane.place), "right", shortened(lane.series, _LONGEST_NAME))]
        texts += [(1 + _GAP, lane.place + offset, "left", note) for offset, note in lane.notes]
    else:
        texts = [(0.0, lane.place - _NAME_ABOVE, "left", lane.heading)]
    for x, y, side, text in texts:
        written = axes.text(x, y, text, ha=side, va="center", transform=axes.get_yaxis_transform())
        written.set(color=lane.colour, fontsize=FONT_SIZE, gid=series_gid(lane.series))
