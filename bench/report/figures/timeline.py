"""The course of live bytes through one step, as stacked areas, a panel a method."""

from itertools import groupby

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from bench.analysis.frame import data_text, modules_text, ordered_series
from bench.report.figures.drawing import PANEL_INCHES, Figure, drawing, figure_svg
from bench.report.tables.measured import mebibytes
from bench.report.tables.summary import headline_costs

_LAYERS = {
    "activation_trunk": ("activations, trunk", "#0072b2"),
    "activation_modules": ("activations, modules", "#56b4e9"),
    "temporary_trunk": ("temporary, trunk", "#d55e00"),
    "temporary_modules": ("temporary, modules", "#e69f00"),
}
_PHASES = {
    "f": ("forward", "#ffffff"),
    "b": ("backward", "#ececec"),
    "s": ("optimizer", "#cccccc"),
    "w": ("waits for another rank", "#fbf1dc"),
}
_COLUMNS = 3


def draw_timelines(frame: pd.DataFrame) -> list[Figure]:
    """A figure a network, of its largest configuration that BP was measured on, too."""
    figures = []
    if "memory.timeline" in frame:
        with drawing():
            for network, part in frame.groupby("network", sort=True):
                rows = headline_costs(part)
                rows = rows[rows["memory.timeline"].notna()]
                if not rows.empty:
                    figures.append(_draw(str(network), rows))
    return figures


def _draw(network: str, rows: pd.DataFrame) -> Figure:
    series = ordered_series(rows)
    lines = -(-len(series) // _COLUMNS)
    columns = min(_COLUMNS, len(series))
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * lines),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    tables, sentences = [], []
    for panel, name in zip(axes.flat, series, strict=False):
        row = rows[rows["series"] == name].iloc[0]
        course = row["memory.timeline"]
        areas = [[value / 2**20 for value in course[layer]] for layer in _LAYERS]
        panel.stackplot(
            course["at"], areas, colors=[colour for _, colour in _LAYERS.values()], step="post", lw=0, zorder=2
        )
        _mark_phases(panel, course)
        panel.set_title(name)
        panel.set_xlabel("operators run")
        panel.set_ylabel("live, MiB")
        panel.set_xlim(0, course["operators"])
        tables.append(
            pd.DataFrame({"method": name, "operators run": course["at"], "phase": [*course["phase"]]}).assign(
                **{f"{label}, bytes": course[layer] for layer, (label, _) in _LAYERS.items()}
            )
        )
        parts = ", ".join(
            f"{label} {mebibytes(row[f'memory.at_peak.{layer}'])}" for layer, (label, _) in _LAYERS.items()
        )
        sentences.append(f"{name}: peak {mebibytes(row['memory.peak_activation_bytes'])} MiB ({parts}).")
    for panel in axes.flat[len(series) :]:
        panel.set_visible(False)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for _, colour in _LAYERS.values()]
    letters = set("".join(course["phase"] for course in rows["memory.timeline"]))
    phases = [look for letter, look in _PHASES.items() if letter in letters]
    handles += [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="#999999") for _, colour in phases]
    labels = [label for label, _ in (*_LAYERS.values(), *phases)]
    figure.legend(handles, labels, loc="outside upper left", ncol=4, frameon=False)
    first = rows.iloc[0]
    data = pd.concat(tables, ignore_index=True)
    data["phase"] = data["phase"].map({letter: name for letter, (name, _) in _PHASES.items()})
    return Figure(
        f"bytes-through-a-step-{network}",
        f"Live bytes through one step, {network}",
        f"Depth {first['depth']}, {modules_text(first)}, hidden {first['hidden']}, batch {first['batch_size']} on "
        f"{data_text(first)}. An activation was made in a forward part and is still held when the next backward part "
        "begins; everything else that the step makes is temporary. The background shows the phase.",
        figure_svg(figure),
        data,
        " ".join(sentences),
    )


def _mark_phases(panel: Axes, course: dict[str, object]) -> None:
    """Colours the background by phase."""
    at, letters = list(course["at"]), str(course["phase"])  # type: ignore[call-overload]
    ends = [*at[1:], course["operators"]]
    for letter, stretch in groupby(zip(letters, at, ends, strict=True), key=lambda point: point[0]):
        points = list(stretch)
        panel.axvspan(points[0][1], points[-1][2], color=_PHASES[letter][1], zorder=0, linewidth=0)
