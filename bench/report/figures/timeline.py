"""The figure of live bytes during one step: stacked areas, one panel per method, on one scale."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bench.analysis.headline import headline_costs
from bench.analysis.panels import cell_titles, most_views
from bench.analysis.series import ordered_series
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.dots import draw_dots
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.multiples import Word, make_multiples, title_of
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of, left_out_text, one_line, view_names
from bench.report.tables.text import bytes_text, mebibytes

_LAYERS = {
    "activation_trunk": Word("activations, trunk", "#0072b2"),
    "activation_modules": Word("activations, modules", "#56b4e9"),
    "temporary_trunk": Word("temporary, trunk", "#d55e00"),
    "temporary_modules": Word("temporary, modules", "#e69f00"),
}
_PHASES = {"f": "forward", "b": "backward", "s": "optimizer", "w": "waiting for another rank"}
_SHADES = {"b": "#f0f0f0", "s": "#dcdcdc", "w": "#f7ecd2"}
_MOST_VIEWS = 6
_MOST_STRETCHES = 12  # of one phase: more are too thin to see
_POINTS = {"wide": 50, "narrow": 32}  # along a panel
_PANEL_INCHES = {"wide": 1.25, "narrow": 0.95}
_MIB = 2**20
_DOT = 6.0  # points


class _Panel(NamedTuple):
    """The bytes of a method.

    Attributes:
        series: name of the method.
        is_bp: whether it is plain BP.
        at: share of the step's operators that ran before each point, in per cent.
        layers: bytes of each of the layers at each point.
        phases: one letter per point.
        peak: number of the point with the most bytes.
        peak_bytes: what the record says of it.
    """

    series: str
    is_bp: bool
    at: NDArray[np.float64]
    layers: NDArray[np.float64]
    phases: str
    peak: int
    peak_bytes: int


def draw_timelines(frame: pd.DataFrame, look: Look) -> Figure | None:
    """Return the live bytes of one step, a view per network, of its largest configuration on which BP was measured.

    Args:
        frame: of :func:`bench.analysis.frame.records_frame`.
        look: of the series of the report.
    """
    if "memory.timeline" not in frame:
        return None
    cells = [rows[rows["memory.timeline"].notna()].drop_duplicates("series") for rows in largest_cells(frame)]
    cells = [rows for rows in cells if not rows.empty]
    if not cells:
        return None
    most = most_views(frame, _MOST_VIEWS)
    cells, left_out = cells[:most], max(0, len(cells) - most)
    titles = [one_line(cell_titles(rows)[0]) for rows in cells]
    return Figure(
        "live-bytes",
        "Live bytes during one step",
        "network",
        "Operators of one step run from left to right; all methods share a scale of bytes. An activation is a tensor "
        "storage that was created in a forward phase and still exists when the next backward phase begins; all other "
        "storages that the step creates are temporary. The dot is the peak. The background is grey in the backward "
        "phase and darker while the optimizer runs, unless phases alternate too often to be seen. Drawn is the largest "
        f"configuration of each network on which BP was measured.{left_out_text(left_out, 'network')}",
        tuple(_view(*found, look) for found in zip(view_names(titles), titles, cells, strict=True)),
    )


def largest_cells(frame: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the rows of the largest configuration of each network on which BP was measured, the most modules first."""
    cells = [headline_costs(part) for _, part in frame.groupby("network", sort=True)]
    return sorted((rows for rows in cells if not rows.empty), key=lambda rows: -rows["modules"].iloc[0])


def _view(name: str, title: str, rows: pd.DataFrame, look: Look) -> View:
    by_series = {series: rows[rows["series"] == series].iloc[0] for series in ordered_series(rows)}
    panels = [_panel(series, row) for series, row in by_series.items()]
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, panels, look))
    data = pd.DataFrame([_numbers(panel) | {"cell": title} for panel in panels])
    cells = tuple(str(row["id"]) for row in by_series.values())
    return View(name, title, _finding(panels), wide, narrow, data, cells)


def _panel(series: str, row: pd.Series) -> _Panel:
    timeline: dict[str, Any] = row["memory.timeline"]
    layers = np.array([timeline[layer] for layer in _LAYERS], dtype=float)
    at = 100 * np.array(timeline["at"], dtype=float) / max(timeline["operators"], 1)
    peak = int(layers.sum(axis=0).argmax()) if layers.size else 0
    return _Panel(
        series, bool(row["is_baseline"]), at, layers, timeline["phase"], peak, int(row["memory.peak_activation_bytes"])
    )


def _numbers(panel: _Panel) -> dict[str, str]:
    has_points = bool(panel.layers.size)
    held = panel.layers[:, panel.peak] if has_points else np.zeros(len(_LAYERS))
    return {
        "method": panel.series,
        "peak, bytes": bytes_text(panel.peak_bytes),
        "at, % of the operators": f"{panel.at[panel.peak]:.1f}" if has_points else "0",
        "phase": _PHASES[panel.phases[panel.peak]] if has_points else "",
        **{f"{word.text}, bytes": bytes_text(value) for word, value in zip(_LAYERS.values(), held, strict=True)},
        "over": "exact",
    }


def _finding(panels: Sequence[_Panel]) -> str:
    """Return the peak of each method, and the category that holds most of it: BP first, then the lowest."""
    clauses = []
    for panel in sorted(panels, key=lambda panel: (not panel.is_bp, panel.peak_bytes)):
        text = f"{shortened(panel.series)} peaks at {mebibytes(panel.peak_bytes)} MiB"
        if panel.layers.size and panel.layers[:, panel.peak].sum() > 0:
            held = panel.layers[:, panel.peak]
            largest = list(_LAYERS.values())[int(held.argmax())].text
            text += f", {100 * held.max() / held.sum():.0f} % {largest}"
        clauses.append(text)
    return finding_of(clauses)


def _draw(canvas: Canvas, panels: Sequence[_Panel], look: Look) -> MatplotlibFigure:
    highest = max(panel.peak_bytes for panel in panels) / _MIB
    titles = [f"{title_of(canvas, panel.series)}\n{mebibytes(panel.peak_bytes)} MiB" for panel in panels]
    figure, places = make_multiples(
        canvas,
        len(panels),
        list(_LAYERS.values()),
        inches=_PANEL_INCHES[canvas.kind],
        title_lines=max(title.count("\n") for title in titles) + 1,
        longest_label=len(f"{highest:.3g}") + 1,
    )
    for number, (panel, place) in enumerate(zip(panels, places, strict=True)):
        axes = place.axes
        _shade_phases(axes, panel)
        _draw_areas(axes, panel, _POINTS[canvas.kind])
        at = panel.at[panel.peak] if panel.layers.size else 0.0
        draw_dots(
            axes, [at], [panel.peak_bytes / _MIB], look.colours[panel.series], _DOT, mark_gid(number, panel.series)
        )
        title = axes.set_title(titles[number], loc="left", color=look.text_colours[panel.series])
        title.set_gid(series_gid(panel.series))
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 1.08 * highest or 1)
        axes.set_xticks([0, 50, 100] if place.is_last else [])
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelleft=place.is_first)
        axes.grid(axis="x", visible=False)
    places[-1].axes.set_xlabel("operators run, %; live MiB" if canvas.kind == "wide" else "operators run, %")
    return figure


def _draw_areas(axes: Axes, panel: _Panel, points: int) -> None:
    """Fill from 0 up to the sum of all layers, then of all but the last and so on, each upon the one before."""
    if not panel.layers.size:
        return
    kept = _highest(panel.layers.sum(axis=0), points)
    at, sums = panel.at[kept], panel.layers[:, kept].cumsum(axis=0) / _MIB
    for layer, (word, values) in reversed(list(enumerate(zip(_LAYERS.values(), sums, strict=True)))):
        if panel.layers[layer].any():
            corners = [
                (at[0], 0.0),
                *_without_middles(list(zip(at, values, strict=True))),
                (100.0, values[-1]),
                (100.0, 0.0),
            ]
            axes.fill(*zip(*corners, strict=True), color=word.colour, linewidth=0, zorder=2, clip_on=False)


def _highest(totals: NDArray[np.float64], most: int) -> list[int]:
    """Return the highest of each of at most ``most`` neighbouring groups of points, and the first and the last."""
    groups = np.array_split(np.arange(len(totals)), min(most, len(totals)))
    return sorted({0, len(totals) - 1, *(int(group[totals[group].argmax()]) for group in groups)})


def _without_middles(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return ``points`` without those between two of the same height."""
    return [
        point
        for index, point in enumerate(points)
        if index in (0, len(points) - 1) or not points[index - 1][1] == point[1] == points[index + 1][1]
    ]


def _shade_phases(axes: Axes, panel: _Panel) -> None:
    stretches = [
        (letter, [at for _, at in part])
        for letter, part in groupby(zip(panel.phases, panel.at, strict=True), key=lambda point: point[0])
    ]
    if len(stretches) > _MOST_STRETCHES:
        return
    starts = [*(ats[0] for _, ats in stretches), 100.0]
    for (letter, _), (start, end) in zip(stretches, pairwise(starts), strict=True):
        if letter in _SHADES:
            axes.axvspan(start, end, color=_SHADES[letter], linewidth=0, zorder=0, clip_on=False)
