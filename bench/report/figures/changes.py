"""The figure of a comparison: how much each time changed, with its interval, beside the change that does not matter."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.compare import Amount, Change
from bench.analysis.words import counted
from bench.report.figures.canvas import WIDE, Canvas
from bench.report.figures.files import as_document
from bench.report.figures.lanes import Lane, make_lanes, write_lane
from bench.report.figures.style import GREY, drawing
from bench.report.figures.svg import svg_of

_SHADE = "#ededed"
_COLOURS = {"worse": "#b3001b", "better": "#00714d"}
_WIDEST = 50.0  # per cent: intervals are cut there


class _Row(NamedTuple):
    change: Change
    amount: Amount


def changes_document(changes: Sequence[Change], margin: float, names: Sequence[str]) -> str | None:
    """Return the changes of times as an SVG document; None if there is no time among them.

    Args:
        changes: of a comparison.
        margin: the change of times that does not matter, in per cent.
        names: of the run that is the baseline, and of the one that is judged.
    """
    timed = [change for change in changes if change.quantity.endswith("_time")]
    rows = [_Row(change, change.amount) for change in timed if change.amount is not None]
    if not rows:
        return None
    with drawing():
        svg = svg_of(_draw(WIDE, rows, margin, names))
    worse = sum(row.change.word == "worse" for row in rows)
    title = f"{counted(worse, 'time')} of {len(rows)} became worse from {names[0]} to {names[1]}."
    return as_document(
        svg,
        f"{title[0].upper()}{title[1:]}",
        "The change of each time, as a ratio to what was timed beside it, with its interval, corrected for the number "
        f"of times. Changes in the shaded band, up to {margin:g} %, do not matter.",
    )


def _draw(canvas: Canvas, rows: Sequence[_Row], margin: float, names: Sequence[str]) -> MatplotlibFigure:
    figure, axes = make_lanes(canvas, len(rows))
    axes.axvspan(-margin, margin, color=_SHADE, linewidth=0, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=1)
    for place, (change, amount) in enumerate(rows):
        colour = _COLOURS.get(change.word, GREY)
        low, high = _ends(amount)
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6, zorder=2)
        axes.plot([amount.value], [place], marker="o", color=colour, markersize=6, linestyle="none", zorder=3)
        name = ", ".join(change.cell.split(", ")[:2])
        if ", recompute " in change.cell:
            name += ", recompute"
        note = f"{amount.value:+.1f} % {change.word}"
        write_lane(canvas, axes, Lane(place, name, colour, [(0.0, note)], f"{name}: {note}"))
    reach = 1.05 * max(margin, *(abs(end) for row in rows for end in (*_ends(row.amount), row.amount.value)))
    axes.set_xlim(-reach, reach)
    axes.set_xlabel(f"% of time, {names[1]} compared with {names[0]}; right of 0, more")
    return figure


def _ends(amount: Amount) -> tuple[float, float]:
    ends = (amount.value if end is None else end for end in (amount.low, amount.high))
    low, high = (math.copysign(min(abs(end), _WIDEST), end) for end in ends)
    return low, high
