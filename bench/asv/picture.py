"""The picture of the history: activation bytes and step latency over commits."""

from textwrap import fill

import pandas as pd
from asv.config import Config
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.series import ordered_series
from bench.asv.results import history_frame
from bench.errors import StoreError
from bench.report.figures.axes import use_log
from bench.report.figures.canvas import WIDE
from bench.report.figures.files import as_document
from bench.report.figures.labels import FONT_SIZE, Label, label_ends_of_panels
from bench.report.figures.points import draw_interval, draw_line, draw_mark
from bench.report.figures.style import GREY, Look, drawing, look_of
from bench.report.figures.svg import svg_of

_DEPTH = 64
_BYTES = "memory.Cascade.track_activation_bytes"
_RATIO = "latency.Ratio.track_{}"
_TITLE = "Activation memory and step latency over the history of the project"
_PANEL_INCHES = 3.4
_SHORT = 7  # characters of a hash
_CHARACTERS = 88  # of the font of labels, side by side over all commits
_LEAST_CHARACTERS = 12  # of a line of text


def draw_history(configuration: Config, machine: str) -> str:
    """Return the picture of what is stored of ``machine`` as a document in SVG, whose description holds all numbers.

    Raises:
        StoreError: nothing is stored of what the picture shows.
    """
    points = history_points(history_frame(configuration, machine))
    if points.empty:
        raise StoreError(f"the results of the machine {machine!r} hold neither {_BYTES} nor {_RATIO.format('ratio')}")
    with drawing():
        svg = svg_of(_draw(points))
    return as_document(svg, _TITLE, describe(points))


def history_points(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the points of the picture, of :func:`bench.asv.results.history_frame`.

    Returns:
        A frame with the columns ``quantity`` (``MiB`` or ``ratio``), ``place`` (of the commit, from 0), ``commit``,
        ``date``, ``series``, ``method``, ``timing`` (empty for MiB), ``y``, ``low`` and ``high``.
    """
    frame = frame.reindex(columns=list(dict.fromkeys([*frame, "depth", "method", "timing"])))
    commits = frame.drop_duplicates("commit")["commit"].tolist()
    size = frame[(frame["benchmark"] == _BYTES) & (frame["depth"] == _DEPTH)]
    size = size.assign(quantity="MiB", timing="", y=size["value"] / 2**20)
    ratios = {end: frame[frame["benchmark"] == _RATIO.format(end)] for end in ("ratio", "low", "high")}
    keys = ["commit", "method", "timing"]
    ratio = ratios["ratio"].assign(quantity="ratio", y=ratios["ratio"]["value"])
    for end in ("low", "high"):
        ends = ratios[end].set_index(keys)["value"] if len(ratios[end]) else pd.Series(dtype=float)
        ratio[end] = [float(ends[tuple(key)]) for key in ratio[keys].itertuples(index=False)] if len(ratio) else []
    points = pd.concat([size.assign(low=size["y"], high=size["y"]), ratio], ignore_index=True)
    points["place"] = points["commit"].map(commits.index)
    columns = ["quantity", "place", "commit", "date", "series", "method", "timing", "y", "low", "high"]
    return points.assign(series=points["method"])[columns].sort_values(["quantity", "place"], kind="stable")


def describe(points: pd.DataFrame) -> str:
    """Return all numbers of the picture as text, a sentence for each commit and quantity."""
    sentences = []
    for (_, quantity, commit), rows in points.groupby(["place", "quantity", "commit"]):
        if quantity == "MiB":
            numbers = [f"{row.method} {row.y:.3f}" for row in rows.itertuples()]
            sentences.append(f"{str(commit)[:_SHORT]}: activations at depth {_DEPTH}, MiB: {', '.join(numbers)}.")
        else:
            numbers = [f"{row.method} {row.y:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in rows.itertuples()]
            way = rows["timing"].iloc[0]
            sentences.append(f"{str(commit)[:_SHORT]}: step latency / BP ({way}): {', '.join(numbers)}.")
    return " ".join(sentences)


def _draw(points: pd.DataFrame) -> MatplotlibFigure:
    look = look_of(points)
    panels = [
        (name, label, rows.reset_index(drop=True))
        for name, label in (("MiB", f"activations, MiB\n(depth {_DEPTH})"), ("ratio", "step latency / BP\n(depth 16)"))
        if len(rows := points[points["quantity"] == name])
    ]
    figure = WIDE.figure(_PANEL_INCHES * len(panels))
    every_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    labels = {}
    for axes, (name, label, rows) in zip(every_axes, panels, strict=True):
        use_log(axes.yaxis, rows["low"].min(), rows["high"].max())
        axes.set_ylabel(label)
        if name == "ratio":
            axes.axhline(1, color=GREY, linewidth=0.8, zorder=1)
            _write_timings(axes, rows)
        labels[axes] = _draw_series(axes, rows, look)
    commits = points.drop_duplicates("commit").sort_values("place")
    every_axes[-1].set_xticks(list(commits["place"]), labels=[commit[:_SHORT] for commit in commits["commit"]])
    every_axes[-1].set_xlim(-0.5, commits["place"].max() + 0.5)
    every_axes[-1].tick_params(axis="x", rotation=90)
    every_axes[-1].set_xlabel(f"commit, {commits['date'].min():%d %B} to {commits['date'].max():%d %B %Y}")
    label_ends_of_panels(labels)
    return figure


def _draw_series(axes: Axes, rows: pd.DataFrame, look: Look) -> list[Label]:
    """Draw a line for each method, which breaks where commits measure in another way; return the names at the ends."""
    labels = []
    for series in ordered_series(rows):
        own = rows[rows["series"] == series]
        for _, line in own.groupby("timing"):
            draw_line(axes, series, list(line["place"]), list(line["y"]), look)
        for index, row in own.iterrows():
            if row["low"] < row["high"]:
                draw_interval(axes, series, (row["place"], row["place"]), (row["low"], row["high"]), look)
            draw_mark(axes, int(str(index)), series, row["place"], row["y"], look)
        end = own.iloc[-1]
        text = f"{series}  {end['y']:.3g}" if end["low"] == end["high"] else f"{series}  {end['y']:.2f}"
        labels.append(Label(series, text, (float(end["place"]), float(end["y"])), look.text_colours[series]))
    return labels


def _write_timings(axes: Axes, rows: pd.DataFrame) -> None:
    """Say over the axes how the commits below were timed, with a rule where the way changes."""
    total = rows["place"].nunique()
    for way, places in rows.groupby("timing", sort=False)["place"]:
        place = places.min()
        text = fill(str(way), max(_LEAST_CHARACTERS, _CHARACTERS * places.nunique() // total))
        axes.annotate(
            text, (float(place) - 0.45, 1.02), xycoords=("data", "axes fraction"), fontsize=FONT_SIZE, color=GREY
        )
        if place > rows["place"].min():
            axes.axvline(float(place) - 0.5, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
