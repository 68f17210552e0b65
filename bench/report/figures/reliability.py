"""The figure of reliability: BP compared with itself, and BP's own step time by process."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.bp_times import TimesOfBP
from bench.analysis.panels import cell_titles
from bench.analysis.statistics.drift import THRESHOLD
from bench.analysis.words import counted
from bench.config.methods import BASELINE
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import FONT_SIZE, shortened
from bench.report.figures.points import draw_interval, draw_mark
from bench.report.figures.style import GREY, Look, look_of
from bench.report.figures.words import one_line
from bench.report.tables.text import processes_text

_MOST_LANES = 12
_MOST_MARKS = 40  # in a lane
_FRAME_INCHES = 0.75  # of the axis and its label
_LANE_INCHES = {"wide": 0.46, "narrow": 0.64}
_MARK_INCHES = 0.16  # from the lower end of a lane to its marks
_TEXT_INCHES = 0.1  # from the upper end of a lane to its text
_LINE_CHARACTERS = {"wide": 130, "narrow": 46}
_LINES = {"wide": 1, "narrow": 2}
_SHADE = "#ededed"


@dataclass(frozen=True)
class _Mark:
    """A mark in a lane: its place on the axis, its interval, and whether it is noisy."""

    lane: int
    series: str
    x: float
    interval: tuple[float, float] | None = None
    is_noisy: bool = False


@dataclass(frozen=True)
class _Strip:
    """What a view draws: the texts of its lanes, the marks in the order of its data, and its axis."""

    lanes: Sequence[str]
    marks: Sequence[_Mark]
    label: str
    band: tuple[float, float] | None


def draw_reliability(frame: pd.DataFrame, of_bp: TimesOfBP) -> Figure | None:
    """Return the figure; None if no step of BP was timed twice.

    Args:
        frame: the rows of the records that were measured.
        of_bp: BP's own step times in them.
    """
    found = [view for view in (_self_view(frame), _times_view(of_bp)) if view is not None]
    if not found:
        return None
    return Figure(
        "reliability",
        "BP as its own control",
        "check",
        " ".join(
            [
                "BP's step is the same work wherever it is timed.",
                *(text for _, text in found),
                "Lanes are in the order of the largest deviation.",
            ]
        ),
        tuple(view for view, _ in found),
    )


def _self_view(frame: pd.DataFrame) -> tuple[View, str] | None:
    """Return the view of BP compared with itself, and its caption; None if there is no such cell."""
    rows = frame[frame["has_latency"] & frame["is_baseline"]]
    if rows.empty:
        return None
    ratios = rows["latency.ratio_to_bp"]
    rows = rows.assign(title=[one_line(title) for title in cell_titles(rows)], distance=ratios.map(_distance))
    shown = rows.sort_values("distance", ascending=False, kind="stable").head(_MOST_LANES)
    look = look_of(frame)
    marks = [
        _Mark(lane, row["series"], row["latency.ratio_to_bp"], tuple(row["latency.ratio_ci95"]), _is_noisy(row))
        for lane, (_, row) in enumerate(shown.iterrows())
    ]
    strip = _Strip(list(shown["title"]), marks, "step time of BP / step time of BP", None)
    data = pd.DataFrame(
        {
            "cell": shown["title"],
            "method": shown["series"],
            "BP / BP": [f"{mark.x:.3f}" for mark in marks],
            "interval": ["[{:.3f}, {:.3f}]".format(*mark.interval) if mark.interval else "" for mark in marks],
            "over": [processes_text(len(blocks)) for blocks in shown["latency.blocks_by_process"]],
            "verdict": ["noisy" if mark.is_noisy else "reliable" for mark in marks],
        }
    ).reset_index(drop=True)
    inside = sum(low <= 1 <= high for low, high in rows["latency.ratio_ci95"])
    finding = (
        f"BP compared with itself: the interval contains 1 in {_of(inside, len(rows), 'cell')}; "
        f"the ratio furthest from 1 is {marks[0].x:.2f}."
    )
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, strip, look))
    view = View("itself", "compared with itself", finding, wide, narrow, data, tuple(shown["id"]))
    return view, (
        "Compared with itself, in blocks as those of any method, its 95 % interval should contain 1; one in twenty "
        f"does not by chance. Open marks are noisy.{_left_out(len(rows) - len(shown), 'cell')}"
    )


def _times_view(of_bp: TimesOfBP) -> tuple[View, str] | None:
    """Return the view of BP's own time by process, and its caption; None if no group has two processes."""
    groups = [group for group in of_bp.by_process() if len(group.processes) > 1]
    if not groups:
        return None
    groups.sort(key=lambda group: -max(map(_distance, group.factors)))
    every = [factor for group in groups for factor in group.factors]
    shown = groups[:_MOST_LANES]
    marks, rows, cells = [], [], []
    for lane, group in enumerate(shown):
        numbered = list(enumerate(zip(group.processes, group.factors, group.records, strict=True), start=1))
        numbered.sort(key=lambda item: -_distance(item[1][1]))
        for number, ((beside, seconds), factor, record) in numbered[:_MOST_MARKS]:
            marks.append(_Mark(lane, BASELINE, factor))
            cells.append(record)
            rows.append(
                {
                    "cells": group.group,
                    "method": BASELINE,
                    "process": f"{number} of {len(group.processes)}",
                    "timed with": beside,
                    "step of BP, ms": f"{1000 * seconds:.4g}",
                    "/ usual": f"{factor:.3f}",
                }
            )
    look = look_of(pd.DataFrame({"series": [BASELINE], "method": [BASELINE]}))
    band = (1 / THRESHOLD, THRESHOLD)
    strip = _Strip([group.group for group in shown], marks, "step time of BP / median of its group", band)
    usual = sum(band[0] <= factor <= band[1] for factor in every)
    finding = (
        f"BP's own step took its usual time, within {100 * (THRESHOLD - 1):.0f} %, in "
        f"{_of(usual, len(every), 'process', 'processes')}; "
        f"it ranges from {min(every):.2f} to {max(every):.2f} of the usual."
    )
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, strip, look))
    view = View("times", "own time by process", finding, wide, narrow, pd.DataFrame(rows), tuple(cells))
    left_out = sum(len(group.processes) for group in groups) - len(rows)
    return view, (
        "Its own time is divided by the median over the processes of its group, the cells that are compared with one "
        "BP. A ratio to BP is taken within a block, so it changes less than this time does; outside of the band, the "
        f"machine was in another state.{_left_out(left_out, 'process', 'processes')}"
    )


def _draw(canvas: Canvas, strip: _Strip, look: Look) -> MatplotlibFigure:
    count = len(strip.lanes)
    lane_inches = _LANE_INCHES[canvas.kind]
    figure = canvas.figure(_FRAME_INCHES + lane_inches * count)
    axes = figure.subplots()
    ends = [end for mark in strip.marks for end in (mark.x, *(mark.interval or ())) if end > 0]
    use_log(axes.xaxis, min(1.0, *ends), max(1.0, *ends), most=7 if canvas.kind == "wide" else 4)
    axes.set_ylim(count, 0)
    axes.set_yticks([])
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(strip.label)
    if strip.band is not None:
        axes.axvspan(*strip.band, color=_SHADE, linewidth=0, zorder=0)
    axes.axvline(1, color=GREY, linewidth=0.9, zorder=1)
    across = axes.get_yaxis_transform()
    for lane, text in enumerate(strip.lanes):
        place = lane + _TEXT_INCHES / lane_inches
        axes.text(0, place, _wrapped(text, canvas), transform=across, va="top", fontsize=FONT_SIZE, linespacing=1.1)
    for row, mark in enumerate(strip.marks):
        y = mark.lane + 1 - _MARK_INCHES / lane_inches
        if mark.interval is not None:
            draw_interval(axes, mark.series, mark.interval, (y, y), look)
        draw_mark(axes, row, mark.series, mark.x, y, look, is_open=mark.is_noisy)
    return figure


def _wrapped(text: str, canvas: Canvas) -> str:
    """Return ``text`` on as many lines as a lane has room for, shortened where it is too long for them."""
    characters, most = _LINE_CHARACTERS[canvas.kind], _LINES[canvas.kind]
    lines = textwrap.wrap(shortened(text, most * characters), characters) or [""]
    return "\n".join([*lines[: most - 1], shortened(" ".join(lines[most - 1 :]), characters)])


def _distance(ratio: float) -> float:
    return abs(math.log(ratio)) if ratio > 0 else math.inf


def _is_noisy(row: pd.Series) -> bool:
    return bool(pd.notna(row["latency.noisy_because"]))


def _of(number: int, total: int, singular: str, plural: str | None = None) -> str:
    """Return ``number`` of ``total`` things as text: ``all 10 cells``, ``both cells``, ``9 of 10 cells``."""
    noun = counted(total, singular, plural)
    if number == total:
        return {1: f"the only {singular}", 2: f"both {plural or f'{singular}s'}"}.get(total, f"all {noun}")
    return f"{number or 'none'} of {noun}"


def _left_out(number: int, singular: str, plural: str | None = None) -> str:
    return f" {counted(number, singular, plural).capitalize()} nearer to 1 are left out." if number else ""
