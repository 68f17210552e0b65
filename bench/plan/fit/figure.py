"""The figure of what fits: a bar for the largest batch of each rule within each budget, and the batch in question."""

import io

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.errors import ConfigError
from bench.plan.fit.fitting import Fit, Fits
from bench.plan.tasks import BATCH_LIMIT
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import WIDE
from bench.report.figures.files import as_document
from bench.report.figures.labels import FONT_SIZE
from bench.report.figures.lanes import Lane, make_lanes, write_lane
from bench.report.figures.marks import series_gid
from bench.report.figures.points import draw_mark
from bench.report.figures.style import GREY, Look, drawing, look_of
from bench.report.figures.svg import svg_of

_BAR_INCHES = 0.19
_GAP_INCHES = 0.16  # between the bars of two rules
_LEAST_OPACITY = 0.35  # of the bar of the smallest budget; that of the largest is opaque


def to_svg(fits: Fits) -> str:
    """Return the figure as SVG with a text alternative.

    Raises:
        ConfigError: no batch fits, so there is nothing to draw.
    """
    with drawing():
        svg = svg_of(_draw(fits))
    return as_document(svg, _title(fits), " ".join(_sentence(fits, row) for row in _in_order(fits, _look(fits))))


def to_png(fits: Fits) -> bytes:
    """Return the figure as a bitmap on white.

    Raises:
        ConfigError: no batch fits, so there is nothing to draw.
    """
    buffer = io.BytesIO()
    with drawing():
        _draw(fits).savefig(buffer, format="png", dpi=144, facecolor="white")
    return buffer.getvalue()


def _draw(fits: Fits) -> MatplotlibFigure:
    look = _look(fits)
    rows = _in_order(fits, look)
    batches = [batch for row in rows for batch in _batches(row) if batch]
    if not batches:
        budgets = ", ".join(budget.text for budget in fits.budgets)
        raise ConfigError(f"--figure has nothing to draw: no batch fits --budget {budgets}")
    count = len(fits.budgets)
    figure, axes = make_lanes(WIDE, len(rows), _BAR_INCHES * count + _GAP_INCHES)
    asked = sorted({row.cell.batch_size for row in rows})
    use_log(axes.xaxis, min([*batches, *asked]), max([*batches, *asked]), "{:,.0f}".format)
    for place, row in enumerate(rows):
        _draw_row(axes, place, row, fits, look)
    for batch in asked:
        axes.axvline(batch, color=GREY, linewidth=1.2, linestyle=(0, (4, 2)), zorder=5)
        axes.annotate(
            f"batch {batch:,}",
            (batch, 1),
            xytext=(0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
            fontsize=FONT_SIZE,
        )
    axes.set_xlabel(f"largest batch that fits, samples; {fits.network}")
    return figure


def _draw_row(axes: Axes, place: int, row: Fit, fits: Fits, look: Look) -> None:
    """Draw the bars of a rule, that of the first budget on top, each with a mark at its end and its number."""
    height = _BAR_INCHES / (_BAR_INCHES * len(fits.budgets) + _GAP_INCHES)
    first = place - height * (len(fits.budgets) - 1) / 2
    left = axes.get_xlim()[0]
    notes = []
    for number, (budget, batch) in enumerate(zip(fits.budgets, _batches(row), strict=True)):
        at = first + number * height
        notes.append((at - place, f"{budget.text}: {_batch_text(batch)}"))
        if batch:
            opacity = _opacity(number, len(fits.budgets))
            (bar,) = axes.barh(
                [at], [batch - left], height * 0.8, left, color=look.colours[row.name], alpha=opacity, zorder=3
            )
            bar.set_gid(series_gid(row.name))
            draw_mark(axes, place, row.name, batch, at, look)
    write_lane(WIDE, axes, Lane(place, row.name, look.text_colours[row.name], notes, row.name))


def _opacity(number: int, count: int) -> float:
    return 1.0 if count == 1 else _LEAST_OPACITY + (1 - _LEAST_OPACITY) * number / (count - 1)


def _look(fits: Fits) -> Look:
    return look_of(pd.DataFrame([{"series": row.name, "method": row.cell.method} for row in fits.rows]))


def _in_order(fits: Fits, look: Look) -> list[Fit]:
    return sorted(fits.rows, key=lambda row: look.order.index(row.name))


def _batches(row: Fit) -> list[int]:
    return [largest.batch for largest in row.planned.largest]


def _title(fits: Fits) -> str:
    return f"Largest batch of {fits.network} whose training step fits {', '.join(one.text for one in fits.budgets)}"


def _sentence(fits: Fits, row: Fit) -> str:
    parts = [f"{budget.text} {_batch_text(batch)}" for budget, batch in zip(fits.budgets, _batches(row), strict=True)]
    return f"{row.name}: {', '.join(parts)}."


def _batch_text(batch: int) -> str:
    return "none" if batch == 0 else f"more than {BATCH_LIMIT:,}" if batch >= BATCH_LIMIT else f"{batch:,}"
