"""The figures of live bytes during one step, as stacked areas with one panel per method."""

from itertools import groupby

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import Rectangle

from bench.analysis.headline import headline_costs
from bench.analysis.panels import data_text, modules_text
from bench.analysis.series import ordered_series
from bench.report.figures.style import PANEL_INCHES, Figure, drawing, figure_svg
from bench.report.tables.text import mebibytes

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
    "w": ("waiting for another rank", "#fbf1dc"),
}
_COLUMNS = 3


def draw_timelines(frame: pd.DataFrame) -> list[Figure]:
    """Return one figure per network, of the largest configuration on which BP was measured, too."""
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
    figure = MatplotlibFigure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * lines), layout="constrained")
    axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
    tables, sentences = [], []
    for panel, name in zip(axes.flat, series, strict=False):
        row = rows[rows["series"] == name].iloc[0]
        timeline = row["memory.timeline"]
        areas = [[value / 2**20 for value in timeline[layer]] for layer in _LAYERS]
        panel.stackplot(
            timeline["at"], areas, colors=[colour for _, colour in _LAYERS.values()], step="post", lw=0, zorder=2
        )
        _mark_phases(panel, timeline)
        panel.set_title(name)
        panel.set_xlabel("operators run")
        panel.set_ylabel("live, MiB")
        panel.set_xlim(0, timeline["operators"])
        tables.append(
            pd.DataFrame({"method": name, "operators run": timeline["at"], "phase": [*timeline["phase"]]}).assign(
                **{f"{label}, bytes": timeline[layer] for layer, (label, _) in _LAYERS.items()}
            )
        )
        parts = ", ".join(
            f"{label} {mebibytes(row[f'memory.at_peak.{layer}'])}" for layer, (label, _) in _LAYERS.items()
        )
        sentences.append(f"{name}: peak {mebibytes(row['memory.peak_activation_bytes'])} MiB ({parts}).")
    for panel in axes.flat[len(series) :]:
        panel.set_visible(False)
    handles = [Rectangle((0, 0), 1, 1, color=colour) for _, colour in _LAYERS.values()]
    letters = set("".join(timeline["phase"] for timeline in rows["memory.timeline"]))
    phases = [look for letter, look in _PHASES.items() if letter in letters]
    handles += [Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="#999999") for _, colour in phases]
    labels = [label for label, _ in (*_LAYERS.values(), *phases)]
    figure.legend(handles, labels, loc="outside upper left", ncol=4, frameon=False)
    first = rows.iloc[0]
    data = pd.concat(tables, ignore_index=True)
    data["phase"] = data["phase"].map({letter: name for letter, (name, _) in _PHASES.items()})
    return Figure(
        f"live-bytes-{network}",
        f"Live bytes during one step, {network}",
        f"Depth {first['depth']}, {modules_text(first)}, hidden {first['hidden']}, batch {first['batch_size']} on "
        f"{data_text(first)}. An activation is a tensor storage that was created in a forward phase and still exists "
        "when the next backward phase begins; all other storages that the step creates are temporary. The background "
        "shows the phase.",
        figure_svg(figure),
        data,
        " ".join(sentences),
    )


def _mark_phases(panel: Axes, timeline: dict[str, object]) -> None:
    """Colour the background by phase."""
    at, letters = list(timeline["at"]), str(timeline["phase"])  # type: ignore[call-overload]
    ends = [*at[1:], timeline["operators"]]
    for letter, stretch in groupby(zip(letters, at, ends, strict=True), key=lambda point: point[0]):
        points = list(stretch)
        panel.axvspan(points[0][1], points[-1][2], color=_PHASES[letter][1], zorder=0, linewidth=0)
