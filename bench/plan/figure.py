"""The figure of the largest batch that fits a memory budget, against depth."""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.panels import module_size_text, panel_axes
from bench.analysis.series import ordered_series, series_names
from bench.errors import ConfigError
from bench.plan.rows import Row
from bench.plan.tasks import BATCH_LIMIT
from bench.report.figures.axes import use_log, use_values
from bench.report.figures.canvas import WIDE
from bench.report.figures.files import as_document
from bench.report.figures.labels import Label, label_ends_of_panels
from bench.report.figures.points import draw_line, draw_mark
from bench.report.figures.style import drawing, look_of
from bench.report.figures.svg import svg_of

_PANEL_INCHES = 3.2


def largest_batch_svg(rows: Sequence[Row], budget: str) -> str:
    """Draw the rows of :func:`bench.plan.rows.budget_rows`, with one line per method, as SVG with a text alternative.

    There is one panel per network, hidden size and module size. Rows for which no batch fits are left out; a batch
    beyond the limit of the search is drawn at the limit.

    Args:
        rows: the rows.
        budget: the memory budget as text, such as ``2GiB``.

    Raises:
        ConfigError: no row could be planned, or no batch of any row fits the budget.
    """
    frame = pd.DataFrame(rows)
    frame["y"] = pd.to_numeric(frame["largest_batch"].replace(f"> {BATCH_LIMIT}", BATCH_LIMIT), errors="coerce")
    frame = frame[frame["y"].notna()]
    if frame.empty:
        planned = any(row["message"] is None for row in rows)
        reason = f"no batch fits --budget {budget}" if planned else "no cell could be planned"
        raise ConfigError(f"--figure has nothing to draw: {reason}")
    frame = frame.assign(series=series_names(frame), layers=frame["depth"] / frame["modules"])
    fields = [name for name in panel_axes() if name in frame]
    varying = [name for name in fields if name not in ("network", "dataset", "hidden") and frame[name].nunique() > 1]
    panels = []
    for _, group in frame.groupby(fields, dropna=False):
        first = group.iloc[0]
        extras = "".join(f", {name.replace('_', ' ')} {first[name]}" for name in varying)
        for layout, part in _layouts(group):
            title = f"{first['network']} on {first['dataset']}\nhidden {first['hidden']}, {layout}{extras}"
            panels.append(part.assign(panel=title))
    points = pd.concat(panels, ignore_index=True)
    title = f"Largest batch whose training step fits {budget}"
    with drawing():
        svg = svg_of(_draw(points))
    limit = f"Peak total bytes are predicted exactly; {_batch_text(BATCH_LIMIT)} is drawn at that number."
    return as_document(svg, title, f"{_ends_of_lines(points)} {limit}")


def _draw(points: pd.DataFrame) -> MatplotlibFigure:
    """Draw one panel above another, each with the name of every method at the end of its line."""
    look = look_of(points)
    titles = list(dict.fromkeys(points["panel"]))
    figure = WIDE.figure(_PANEL_INCHES * len(titles))
    every_axes = figure.subplots(len(titles), 1, squeeze=False)[:, 0]
    labels: dict[Axes, list[Label]] = {}
    for axes, title in zip(every_axes, titles, strict=True):
        shown = points[points["panel"] == title].reset_index(drop=True)
        use_values(axes.xaxis, list(shown["depth"]), log=True)
        use_log(axes.yaxis, shown["y"].min(), shown["y"].max(), "{:,.0f}".format)
        axes.set_title(title, loc="left")
        axes.set_xlabel("depth, hidden layers")
        axes.set_ylabel("largest batch, samples")
        labels[axes] = []
        for series in ordered_series(shown):
            line = shown[shown["series"] == series].sort_values("depth")
            draw_line(axes, series, list(line["depth"]), list(line["y"]), look)
            for index, row in line.iterrows():
                draw_mark(axes, int(str(index)), series, row["depth"], row["y"], look)
            end = (float(line["depth"].iloc[-1]), float(line["y"].iloc[-1]))
            labels[axes].append(Label(series, f"{series}: {_batch_text(end[1])}", end, look.text_colours[series]))
    label_ends_of_panels(labels)
    return figure


def _ends_of_lines(points: pd.DataFrame) -> str:
    """Return a sentence per panel with the first and the last value of each line."""
    sentences = []
    for panel, shown in points.groupby("panel", sort=False):
        ends = []
        for series in ordered_series(shown):
            line = shown[shown["series"] == series].sort_values("depth")["y"]
            ends.append(f"{series} from {_batch_text(line.iloc[0])} to {_batch_text(line.iloc[-1])}")
        place = str(panel).replace("\n", ", ")
        depths = f"{shown['depth'].min()} to {shown['depth'].max()}"
        sentences.append(f"{place}: largest batch at depth {depths}: {', '.join(ends)}.")
    return " ".join(sentences)


def _layouts(group: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split ``group`` by the size of a module, and yield each size with its rows.

    Cells with one module form a part of their own. A part whose cells another part contains is left out.
    """
    parts = [(module_size_text(part.iloc[0]), part) for _, part in group.groupby("layers", sort=True)]
    parts.append(("one module", group[group["modules"] == 1]))
    # Largest first, so that of two parts with the same cells the first is kept.
    kept: list[set[object]] = []
    for layout, part in sorted(parts, key=lambda item: -len(item[1])):
        cells = set(part.index)
        if cells and not any(cells <= other for other in kept):
            kept.append(cells)
            yield layout, part


def _batch_text(batch: float) -> str:
    return f"more than {BATCH_LIMIT:,}" if batch >= BATCH_LIMIT else f"{batch:,.0f}"
