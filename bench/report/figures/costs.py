"""The figures of the report: what each one shows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from bench.analysis.frame import cell_titles, slices, tell_apart
from bench.analysis.pareto import with_front
from bench.config.axes import axes
from bench.report.figures.drawing import (
    AXES,
    Figure,
    data_table,
    drawing,
    figure_svg,
    finish,
    hollow_noisy,
    in_panels,
    in_words,
    lines_in_panels,
    look,
    widen_to_ticks,
)
from bench.report.tables.measured import mebibytes

_CELLS_A_NETWORK = 4
_EPOCHS_DRAWN = 12
# The axes that the title of a panel of accuracies names, and those that it draws.
_IN_ACCURACY_TITLE = {"network", "dataset", "optimizer", "depth", "modules", "seed", "noise_kind", "noise_rate"}


def draw_figures(frame: pd.DataFrame) -> list[Figure]:
    """Every figure that ``frame`` has data for, in the order of the page."""
    if frame.empty:
        return []
    makers: list[Callable[[pd.DataFrame], Figure | None]] = [
        *(partial(_cost_against, cost, axis) for cost in _COSTS for axis in AXES),
        _memory_against_latency,
        _accuracy_against_noise,
        _accuracy_by_epoch,
        _kl_by_module,
    ]
    with drawing():
        figures = [maker(frame) for maker in makers]
    return [figure for figure in figures if figure is not None]


@dataclass(frozen=True)
class _Cost:
    """What is drawn against depth, batch size and module count: ``prepare`` adds the column ``y``."""

    name: str
    title: str
    caption: str
    label: str
    log_y: bool
    measured: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    columns: dict[str, str]
    what: str
    show: Callable[[float], str]


def _in_mebibytes(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(y=rows["memory.peak_activation_bytes"] / 2**20)


def _with_interval(rows: pd.DataFrame) -> pd.DataFrame:
    intervals = pd.DataFrame(rows["latency.ratio_ci95"].tolist(), index=rows.index, columns=["low", "high"])
    return _with_verdict(rows).assign(y=rows["latency.ratio_to_bp"], low=intervals["low"], high=intervals["high"])


def _with_verdict(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(verdict=rows["latency.noisy_because"].notna().map({True: "noisy", False: ""}))


_COSTS = (
    _Cost(
        name="memory",
        title="Peak activation memory against",
        caption="Exact bytes in tensor storages at the worst moment of one training step; both axes are logarithmic.",
        label="peak activations, MiB",
        log_y=True,
        measured="has_memory",
        prepare=_in_mebibytes,
        columns={"memory.peak_activation_bytes": "peak activation bytes"},
        what="peak activations",
        show=lambda value: f"{mebibytes(value * 2**20)} MiB",
    ),
    _Cost(
        name="latency",
        title="Step latency over BP's against",
        caption="Median of interleaved ABBA blocks, bars: 95 % bootstrap intervals. BP against itself should read 1. "
        "Hollow points are noisy: not to be relied on.",
        label="step latency / BP's",
        log_y=False,
        measured="has_latency",
        prepare=_with_interval,
        columns={"y": "latency / BP", "low": "95 % from", "high": "95 % to", "verdict": "verdict"},
        what="latency over BP's",
        show=lambda value: f"{value:.2f}",
    ),
)


def _cost_against(cost: _Cost, axis: str, frame: pd.DataFrame) -> Figure | None:
    rows = slices(frame[frame[cost.measured]], axis)
    if rows.empty:
        return None
    rows = cost.prepare(rows)
    name = axis.replace("_", " ")
    return Figure(
        f"{cost.name}-against-{axis.replace('_', '-')}",
        f"{cost.title} {name.replace('modules', 'module count')}",
        cost.caption,
        figure_svg(lines_in_panels(rows, axis, cost.label, log_y=cost.log_y).figure),
        data_table(rows, {axis: name} | cost.columns),
        in_words(rows, axis, cost.what, cost.show),
    )


def _memory_against_latency(frame: pd.DataFrame) -> Figure | None:
    rows = with_front(frame)
    rows = rows[rows["memory.activation_ratio"].notna()] if len(rows) else rows
    rows = _most_compared_cells(rows)
    if rows.empty:
        return None
    rows = _with_interval(rows)
    rows = rows.assign(
        panel=cell_titles(rows),
        x=rows["latency.ratio_to_bp"],
        y=rows["memory.activation_ratio"],
    )
    order, palette, markers = look(rows)
    panels = list(dict.fromkeys(rows["panel"]))
    grid = in_panels(rows, "x", panels, (order, palette, markers), kind="scatter", s=60, zorder=3)
    for name, panel in grid.axes_dict.items():
        shown = rows[rows["panel"] == name]
        hollow_noisy(panel, shown, "x", palette, markers)
        front = shown[shown["on_front"]].sort_values(["x", "y"])
        panel.plot(front["x"], front["y"], color="#c0392b", linewidth=1, drawstyle="steps-post", zorder=1)
        panel.scatter(front["x"], front["y"], s=150, facecolors="none", edgecolors="#c0392b", linewidth=1, zorder=2)
        panel.axhline(1, color="#888888", linewidth=0.8)
        panel.axvline(1, color="#888888", linewidth=0.8)
        widen_to_ticks(panel)
    grid.set_titles("{col_name}")
    grid.set_axis_labels("step latency / BP's", "peak activations / BP's")
    finish(grid)
    columns = {"layout": "layout", "memory.peak_activation_bytes": "peak activation bytes", "y": "activations / BP"}
    columns |= {
        "x": "latency / BP",
        "low": "95 % from",
        "high": "95 % to",
        "verdict": "verdict",
        "front": "Pareto front",
    }
    fronts = "; ".join(
        f"{name}: {', '.join(part.loc[part['on_front'], 'series'])}".replace("\n", ", ")
        for name, part in rows.groupby("panel", sort=False)
    )
    return Figure(
        "memory-against-latency",
        "Memory against latency, both over BP's",
        "A panel is one cell, with every method that was measured on it; of each network the four cells with the most "
        "methods, then the largest. Left of 1 is faster than BP, below 1 is leaner; the vertical axis is logarithmic. "
        "Ringed and joined in red is the Pareto front: no method beats these in both, by medians. Hollow points have a "
        "noisy latency: not to be relied on.",
        figure_svg(grid.figure),
        data_table(rows, columns),
        f"Scatter of memory ratio over latency ratio, a panel a cell. On the Pareto front: {fronts}.",
    )


def _most_compared_cells(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of a few cells of each network, those with the most methods, then the largest; one seed of each."""
    cells = rows[rows["seed"] == rows["seed"].min()]
    chosen = []
    for _, part in cells.groupby("network", sort=True):
        sizes = part.groupby("pair").agg(
            {"series": "nunique", "depth": "max", "batch_size": "max", "modules": "max", "hidden": "max"}
        )
        largest = sizes.sort_values(list(sizes.columns), ascending=False).index[:_CELLS_A_NETWORK]
        chosen += [part[part["pair"] == pair] for pair in largest]
    return pd.concat(chosen) if chosen else rows


def _accuracy_against_noise(frame: pd.DataFrame) -> Figure | None:
    rows = _accuracy_rows(frame)
    if not rows.empty:
        rows = rows[rows.groupby("panel")["noise_rate"].transform("nunique") > 1]
    if rows.empty:
        return None
    rows = rows.assign(y=100 * rows["accuracy.test_last"])
    grid = lines_in_panels(
        rows, "noise_rate", "test accuracy, last epoch, %", log_y=False, log_x=False, errorbar=("pi", 100)
    )
    columns = {"noise_kind": "noise", "noise_rate": "noise rate", "seed": "seed", "y": "test accuracy, %"}
    return Figure(
        "accuracy-against-noise",
        "Test accuracy against the rate of wrong training labels",
        "Last epoch, clean test labels; lines are means over seeds, bars reach from the worst seed to the best. "
        "Methods with the same gradients (bp and bp-checkpoint; sid-published and sid-streamed) cover each other, but "
        "for BatchNorm, whose running statistics the one updates twice a step and the other once.",
        figure_svg(grid.figure),
        data_table(rows, columns),
        in_words(rows, "noise_rate", "mean accuracy", lambda value: f"{value:.1f} %"),
    )


def _accuracy_by_epoch(frame: pd.DataFrame) -> Figure | None:
    rows = _accuracy_rows(frame)
    rows = rows[rows["accuracy.by_epoch"].map(len) > 1] if len(rows) else rows
    if rows.empty:
        return None
    rows = rows[rows["noise_rate"] == rows.groupby("panel")["noise_rate"].transform("max")]
    points = rows["accuracy.by_epoch"].map(
        lambda shares: [(at, 100 * shares[at - 1]) for at in _spread_out(len(shares))]
    )
    rows = rows.assign(point=points).explode("point", ignore_index=True)
    rows = rows.assign(
        epoch=[epoch for epoch, _ in rows["point"]],
        y=[percent for _, percent in rows["point"]],
        panel=rows["panel"] + ["\nnoise " + f"{rate:g}" for rate in rows["noise_rate"]],
    )
    grid = lines_in_panels(rows, "epoch", "test accuracy, %", log_y=False, errorbar=("pi", 100))
    means = rows.groupby(["panel", "series", "method", "noise_rate", "epoch"], as_index=False, sort=False)[["y"]].mean()
    columns = {"noise_rate": "noise rate", "epoch": "epoch", "y": "mean test accuracy, %"}
    return Figure(
        "accuracy-by-epoch",
        "Test accuracy epoch by epoch",
        "Clean test labels, at the highest noise rate of each configuration; some epochs, on a logarithmic axis. A "
        "line that rises and falls has learned wrong labels by heart; one that still rises was stopped before. "
        "Lines are means over seeds, bars reach from the worst seed to the best.",
        figure_svg(grid.figure),
        data_table(means, columns),
        in_words(rows, "epoch", "mean accuracy", lambda value: f"{value:.1f} %"),
    )


def _spread_out(epochs: int) -> list[int]:
    """Some of the numbers 1 to ``epochs``, both ends among them, evenly far apart on a logarithmic axis."""
    return sorted({round(epochs ** (step / (_EPOCHS_DRAWN - 1))) for step in range(_EPOCHS_DRAWN)})


def _kl_by_module(frame: pd.DataFrame) -> Figure | None:
    rows = _accuracy_rows(frame)
    rows = rows[rows["modules"] > 1] if len(rows) else rows
    if rows.empty:
        return None
    extremes = {rows["noise_rate"].min(), rows["noise_rate"].max()}
    rows = rows[rows["noise_rate"].isin(extremes)]
    rows = rows.explode("accuracy.kl_by_module")
    rows["module"] = rows.groupby(level=0).cumcount() + 1
    rows = rows.reset_index(drop=True)
    rows["y"] = pd.to_numeric(rows["accuracy.kl_by_module"])
    rows = rows.dropna(subset=["y"])  # a diverged run has no KL
    rows["panel"] += ["\nnoise " + f"{rate:g}" for rate in rows["noise_rate"]]
    if rows.empty:
        return None
    grid = lines_in_panels(rows, "module", "KL(label || belief), nats", log_y=True, log_x=False, errorbar=("pi", 100))
    columns = {"noise_rate": "noise rate", "seed": "seed", "module": "module", "y": "KL, nats"}
    return Figure(
        "kl-by-module",
        "Distance from the label, module by module",
        "KL(p_y || p_i) on the test set after the last epoch; SID's theory wants it to fall from module to module. BP "
        "trains only the last module's belief. Lines are means over seeds, bars reach from the worst to the best; the "
        "vertical axis is logarithmic.",
        figure_svg(grid.figure),
        data_table(rows, columns),
        in_words(rows, "module", "mean KL", lambda value: f"{value:.2f} nats"),
    )


def _accuracy_axes() -> list[str]:
    """What else the accuracies of one panel may not differ in, if lines through them are to mean something."""
    return [
        name
        for name, row in axes().items()
        if row.paired and row.series == "never" and "accuracy" in row.bears_on and name not in _IN_ACCURACY_TITLE
    ]


def _accuracy_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy rows with their panel; cells with more than one layer a module become lines of their own."""
    rows = frame[frame["has_accuracy"]]
    if rows.empty:
        return rows.assign(panel="")
    panel = rows["network"] + " on " + rows["dataset"] + "\n" + rows["optimizer"] + ", depth " + rows["depth"].map(str)
    is_usual = rows["layers_per_module"] == 1
    modules = rows["modules"].map(lambda count: f"{count} module{'s' if count > 1 else ''}")
    rows = rows.assign(
        panel=tell_apart(panel, rows, _accuracy_axes()),
        series=rows["series"].where(is_usual, rows["series"] + ", " + modules),
    )
    # Clean labels are the rate 0 of every kind of noise; further kinds get panels of their own.
    kinds = [kind for kind in rows["noise_kind"].unique() if kind != "none"]
    if not kinds:
        return rows
    parts = []
    for kind in kinds:
        part = rows[rows["noise_kind"].isin(["none", kind])]
        parts.append(part.assign(panel=part["panel"] + ("\n" + kind if len(kinds) > 1 else f", {kind}")))
    return pd.concat(parts, ignore_index=True)
