"""The figures of memory and time against depth, batch size and number of modules: a view per axis and panel."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure

from bench.analysis.numbers import times
from bench.analysis.panels import most_views, slices
from bench.analysis.series import ordered_series
from bench.analysis.statistics.estimate import Interval
from bench.analysis.words import counted
from bench.report.figures.axes import use_log, use_values
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import Label, label_ends, shortened
from bench.report.figures.points import draw_interval, draw_line, draw_mark
from bench.report.figures.style import GREY, Look
from bench.report.figures.words import finding, left_out_text, one_line, view_names
from bench.report.tables.text import mebibytes, processes_text

MOST_VIEWS = 12


@dataclass(frozen=True)
class _Axis:
    """What a horizontal axis shows."""

    field: str
    words: str
    label: str
    text: str  # of a place on it

    def point(self, value: float) -> str:
        """Return a place on the axis, such as ``depth 8`` or ``8 modules``."""
        text = self.text.format(f"{value:g}")
        return text.removesuffix("s") if value == 1 else text

    def span(self, values: pd.Series) -> str:
        """Return the ends of ``values``, such as ``depth 8 to 64``."""
        return self.text.format(f"{values.min():g} to {values.max():g}")


_AXES = (
    _Axis("depth", "depth", "depth, hidden layers", "depth {}"),
    _Axis("batch_size", "batch size", "batch size, samples", "batch {}"),
    _Axis("modules", "modules", "number of modules", "{} modules"),
)


@dataclass(frozen=True)
class _Quantity:
    """What a vertical axis shows.

    Attributes:
        name: of the figure.
        title: of the figure, after which comes the horizontal axis.
        caption: of the figure.
        label: of the vertical axis.
        measured: the column that says whether a row has it.
        reference: where a line is drawn across.
        prepare: adds the columns ``y``, ``low``, ``high`` (equal to ``y`` where it is exact) and ``is_open``.
        show: ``y`` as text.
        numbers: the columns of the data that hold it.
        finding: the sentence on the rows of a view.
    """

    name: str
    title: str
    caption: str
    label: str
    measured: str
    reference: float | None
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    show: Callable[[float], str]
    numbers: Callable[[pd.DataFrame], dict[str, pd.Series]]
    finding: Callable[[pd.DataFrame, _Axis], str]


def scaling_figures(frame: pd.DataFrame, look: Look) -> tuple[Figure, ...]:
    """Return the figure of memory and that of time, as far as a panel has two points or more on an axis.

    Args:
        frame: the measured rows of the report.
        look: of its series.
    """
    return tuple(figure for quantity in _QUANTITIES for figure in _figures(quantity, frame, look))


def _figures(quantity: _Quantity, frame: pd.DataFrame, look: Look) -> Iterator[Figure]:
    panels = _panels(frame[frame[quantity.measured]]) if quantity.measured in frame else []
    if not panels:
        return
    shown = panels[: most_views(frame, MOST_VIEWS)]
    choices = [f"{axis.words}: {one_line(rows['panel'].iloc[0])}" for axis, rows in shown]
    firsts = {axis.words: choice for (axis, _), choice in reversed(list(zip(shown, choices, strict=True)))}
    short = {choice: words for words, choice in firsts.items()}  # the largest panel of an axis has its name
    names = view_names(short.get(choice, choice) for choice in choices)
    yield Figure(
        quantity.name,
        quantity.title,
        "axis",
        quantity.caption + left_out_text(len(panels) - len(shown), "panel"),
        tuple(
            _view(quantity, axis, name, choice, rows, look)
            for name, choice, (axis, rows) in zip(names, choices, shown, strict=True)
        ),
    )


def _panels(frame: pd.DataFrame) -> list[tuple[_Axis, pd.DataFrame]]:
    """Return each axis with the rows of each of its panels, those with the most lines first, axes in turn."""
    found = []
    for place, axis in enumerate(_AXES):
        rows = slices(frame, axis.field).sort_values("seed", kind="stable")
        rows = rows.drop_duplicates(["panel", "series", axis.field])
        panels = [part for _, part in rows.groupby("panel", sort=True)]
        panels.sort(key=lambda part: (-part["series"].nunique(), -len(part)))
        found += [(turn, place, axis, part) for turn, part in enumerate(panels)]
    return [(axis, part) for _, _, axis, part in sorted(found, key=lambda item: item[:2])]


def _view(quantity: _Quantity, axis: _Axis, name: str, choice: str, rows: pd.DataFrame, look: Look) -> View:
    order = {series: place for place, series in enumerate(ordered_series(rows))}
    rows = rows.assign(order=rows["series"].map(order), x=rows[axis.field].astype(float))
    rows = quantity.prepare(rows.sort_values(["order", "x"]).reset_index(drop=True))
    wide, narrow = drawn_twice(lambda canvas: _draw(canvas, quantity, axis, rows, look))
    data = pd.DataFrame(
        {"method": rows["series"], axis.words: rows["x"].map("{:g}".format)}
        | quantity.numbers(rows)
        | {"cell": one_line(rows["panel"].iloc[0])}
    )
    return View(name, choice, quantity.finding(rows, axis), wide, narrow, data, tuple(rows["id"]))


def _draw(canvas: Canvas, quantity: _Quantity, axis: _Axis, rows: pd.DataFrame, look: Look) -> MatplotlibFigure:
    figure = canvas.figure(4.2 if canvas.kind == "wide" else 3.4)
    axes = figure.subplots()
    heights = [*rows["y"], *rows.loc[rows["low"] > 0, "low"], *rows["high"], *filter(None, [quantity.reference])]
    use_values(axes.xaxis, list(rows["x"]), log=True)
    use_log(axes.yaxis, min(heights), max(heights))
    axes.set_xlabel(axis.label)
    axes.set_ylabel(quantity.label)
    if quantity.reference is not None:
        axes.axhline(quantity.reference, color=GREY, linewidth=0.8, zorder=1)
    bottom, labels = axes.get_ylim()[0], []
    for series, line in rows.groupby("series", sort=False):
        name = str(series)
        if len(line) > 1:
            draw_line(axes, name, list(line["x"]), list(line["y"]), look)
        for index, row in line.iterrows():
            if row["low"] < row["high"]:
                draw_interval(axes, name, (row["x"], row["x"]), (max(row["low"], bottom), row["high"]), look)
            draw_mark(axes, int(str(index)), name, row["x"], row["y"], look, is_open=row["is_open"])
        end = (float(line["x"].iloc[-1]), float(line["y"].iloc[-1]))
        labels.append(Label(name, f"{shortened(name)}  {quantity.show(end[1])}", end, look.text_colours[name]))
    label_ends(axes, labels)
    return figure


def _with_mebibytes(rows: pd.DataFrame) -> pd.DataFrame:
    size = rows["memory.peak_activation_bytes"] / 2**20
    return rows.assign(y=size, low=size, high=size, is_open=False)


def _with_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    low, high = zip(*rows["latency.ratio_ci95"], strict=True)
    is_open = rows["latency.noisy_because"].notna()
    return rows.assign(y=rows["latency.ratio_to_bp"], low=low, high=high, is_open=is_open)


def _bytes_columns(rows: pd.DataFrame) -> dict[str, pd.Series]:
    size = rows["memory.peak_activation_bytes"].map("{:,.0f}".format)
    return {"peak activation bytes": size, "over": rows["memory.instrument"]}


def _time_columns(rows: pd.DataFrame) -> dict[str, pd.Series]:
    return {
        "time / BP": rows["y"].map("{:.4g}".format),
        "95 % from": rows["low"].map("{:.4g}".format),
        "95 % to": rows["high"].map("{:.4g}".format),
        "over": rows["latency.blocks_by_process"].map(len).map(processes_text),
        "verdict": rows["is_open"].map({True: "noisy", False: ""}),
    }


def _ends(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the first and at the last place of the axis, of series that were measured at both."""
    ends = rows[rows["x"].isin([rows["x"].min(), rows["x"].max()])]
    return ends[ends.groupby("series")["x"].transform("nunique") > 1]


def _finding_on_bytes(rows: pd.DataFrame, axis: _Axis) -> str:
    """Return by how much the bytes of BP grow, and those of the method whose bytes grow least."""
    ends = _ends(rows)
    if ends.empty:
        best = rows[rows["x"] == rows["x"].max()].nsmallest(1, "y").iloc[0]
        least = f"{shortened(best['series'])} needs the fewest activation bytes: {mebibytes(best['y'] * 2**20)} MiB."
        return finding(f"At {axis.point(best['x'])}, {least}")
    growth = ends.groupby("series", sort=False)["y"].agg(lambda values: values.iloc[-1] / values.iloc[0])
    where = f"From {axis.span(rows['x'])}, the activation bytes of "
    baselines = [series for series in rows.loc[rows["is_baseline"], "series"] if series in growth.index]
    others = growth.drop(baselines)
    if others.empty:
        return finding(f"{where}{baselines[0]} are multiplied by {times(growth[baselines[0]])}.")
    best = str(others.idxmin())
    least = f", the least of {counted(len(growth), 'method')}" if len(growth) > 1 else ""
    of_best = f"{shortened(best)} by {times(others[best])}{least}."
    if not baselines:
        return finding(f"{where}{of_best.replace(' by ', ' are multiplied by ', 1)}")
    return finding(f"{where}{baselines[0]} are multiplied by {times(growth[baselines[0]])}, and those of {of_best}")


def _finding_on_time(rows: pd.DataFrame, axis: _Axis) -> str:
    """Return the ratio at both ends of the axis of the method that takes the least time at the last one."""
    others = rows[~rows["is_baseline"]]
    if others.empty:
        return "No method besides BP was measured here; the ratio of BP to itself should be 1."
    quiet = others[~others["is_open"]]
    if quiet.empty:
        return "All times here are noisy and decide nothing."
    last = quiet[quiet["x"] == quiet["x"].max()]
    best = last.loc[last["y"].idxmin()]
    number = len(last)
    least = f"the least estimate of {number} methods" if number > 1 else "the only method measured there"
    own = quiet[quiet["series"] == best["series"]]
    name, first = shortened(best["series"]), own.iloc[0]
    if len(own) > 1:
        start = f"{_ratio_text(first)} of BP's time at {axis.point(first['x'])} and "
        return finding(f"{name} takes {start}{_ratio_text(best)} at {axis.point(best['x'])}, {least}.")
    return finding(f"At {axis.point(best['x'])}, {name} takes {_ratio_text(best)} of BP's time, {least}.")


def _ratio_text(row: pd.Series) -> str:
    over = " (1 process)" if len(row["latency.blocks_by_process"]) == 1 else ""
    return f"{times(row['y'], Interval(row['low'], row['high']))}{over}"


_QUANTITIES = (
    _Quantity(
        name="memory",
        title="Peak activation memory",
        caption="Exact bytes in tensor storages at the peak of one training step, of the least seed where there are "
        "several. Both axes are logarithmic.",
        label="peak activations, MiB",
        measured="has_memory",
        reference=None,
        prepare=_with_mebibytes,
        show=lambda value: f"{mebibytes(value * 2**20)} MiB",
        numbers=_bytes_columns,
        finding=_finding_on_bytes,
    ),
    _Quantity(
        name="latency",
        title="Step time relative to BP",
        caption="Ratios from interleaved ABBA blocks, of the least seed where there are several; bars are 95 % "
        "intervals over processes. Where the numbers say 1 process, they are intervals within one process, which leave "
        "out how processes differ. The ratio of BP to itself should be 1. Open marks are noisy and cannot be relied "
        "on. Both axes are logarithmic.",
        label="step time / BP's",
        measured="has_latency",
        reference=1,
        prepare=_with_ratios,
        show=times,
        numbers=_time_columns,
        finding=_finding_on_time,
    ),
)
