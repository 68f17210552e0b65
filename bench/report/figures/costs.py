"""The figures of memory and latency against depth, batch size and number of modules."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bench.analysis.panels import slices
from bench.report.figures.describe import data_table, ends_of_lines
from bench.report.figures.panels import lines_in_panels
from bench.report.figures.style import Figure, figure_svg
from bench.report.tables.text import mebibytes, processes_text

AXES = {"depth": "depth", "batch_size": "batch size", "modules": "number of modules"}


@dataclass(frozen=True)
class _Cost:
    """One quantity to draw; ``prepare`` adds the column ``y``."""

    name: str
    title: str
    caption: str
    label: str
    log_y: bool
    reference: float | None
    measured: str
    prepare: Callable[[pd.DataFrame], pd.DataFrame]
    columns: dict[str, str]
    quantity: str
    show: Callable[[float], str]


def draw_costs(frame: pd.DataFrame) -> list[Figure]:
    """Return a figure per cost and axis, where a panel has at least two points on the axis."""
    figures = (_draw(cost, axis, frame) for cost in _COSTS for axis in AXES)
    return [figure for figure in figures if figure is not None]


def with_ratio_interval(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with the latency ratio as ``y``, and its interval as ``low`` and ``high``.

    The column ``basis`` says what the interval rests on, such as ``1 process``, and ``verdict`` whether it is noisy.
    """
    intervals = pd.DataFrame(rows["latency.ratio_ci95"].tolist(), index=rows.index, columns=["low", "high"])
    verdict = rows["latency.noisy_because"].notna().map({True: "noisy", False: ""})
    return rows.assign(
        y=rows["latency.ratio_to_bp"],
        low=intervals["low"],
        high=intervals["high"],
        basis=rows["latency.blocks_by_process"].map(len).map(processes_text),
        verdict=verdict,
    )


def _in_mebibytes(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(y=rows["memory.peak_activation_bytes"] / 2**20)


_COSTS = (
    _Cost(
        name="memory",
        title="Peak activation memory against",
        caption="Exact bytes in tensor storages at the peak of one training step; both axes are logarithmic.",
        label="peak activations, MiB",
        log_y=True,
        reference=None,
        measured="has_memory",
        prepare=_in_mebibytes,
        columns={"memory.peak_activation_bytes": "peak activation bytes"},
        quantity="peak activations",
        show=lambda value: f"{mebibytes(value * 2**20)} MiB",
    ),
    _Cost(
        name="latency",
        title="Step latency relative to BP against",
        caption="Ratios from interleaved ABBA blocks; bars are 95 % intervals over processes. Where the data say 1 "
        "process, they are intervals within one process, which leave out how processes differ. The ratio of BP to "
        "itself should be 1. Open markers are noisy and cannot be relied on.",
        label="step latency / BP's",
        log_y=False,
        reference=1,
        measured="has_latency",
        prepare=with_ratio_interval,
        columns={"y": "latency / BP", "low": "95 % from", "high": "95 % to", "basis": "over", "verdict": "verdict"},
        quantity="latency relative to BP",
        show=lambda value: f"{value:.2f}",
    ),
)


def _draw(cost: _Cost, axis: str, frame: pd.DataFrame) -> Figure | None:
    rows = slices(frame[frame[cost.measured]], axis)
    if rows.empty:
        return None
    rows = cost.prepare(rows)
    drawn = lines_in_panels(rows, axis, cost.label, log_y=cost.log_y, reference=cost.reference)
    return Figure(
        f"{cost.name}-against-{axis.replace('_', '-')}",
        f"{cost.title} {AXES[axis]}",
        cost.caption,
        figure_svg(drawn),
        data_table(rows, {axis: axis.replace("_", " ")} | cost.columns),
        ends_of_lines(rows, axis, cost.quantity, cost.show),
    )
