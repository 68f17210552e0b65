"""The figures of what each module believes after training: its divergence, its accuracy, and its calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.accuracies import FEW_PANELS, Panel, by_module, largest_panels, over_seeds, with_noise_in_panel
from bench.analysis.theory import expected_divergences
from bench.report.figures.curves import Curves, Scale, curves_view
from bench.report.figures.figure import Figure, View
from bench.report.figures.labels import shortened
from bench.report.figures.style import Look
from bench.report.figures.words import finding_of, left_out_text, view_names

_SEEDS = (
    "Lines are means over seeds on the test set after the last epoch; bars reach from the lowest seed to the highest."
)


@dataclass(frozen=True)
class _Quantity:
    """A value by module.

    Attributes:
        column: of the frame.
        name: of the quantity, which begins its sentence and its entry in the chooser.
        label: of the axis.
        unit: follows a number.
        scale: of the vertical axis; with ``linear`` the values are fractions, drawn in per cent.
        best: the value of the better of two methods.
    """

    column: str
    name: str
    label: str
    unit: str = " %"
    scale: Scale = "linear"
    best: str = "smallest"


_DIVERGENCE = _Quantity(
    "accuracy.kl_by_module", "divergence from the label", "KL(label || belief), nats", " nats", "log"
)
_ACCURACY = _Quantity("accuracy.test_by_module", "test accuracy", "test accuracy, %", best="largest")
_BELIEFS = (
    _Quantity("accuracy.beliefs_last.calibration_error", "calibration error", "expected calibration error, %"),
    _Quantity("accuracy.beliefs_last.changed_share", "changed predictions", "predictions changed by the module, %"),
    _Quantity("accuracy.beliefs_last.descent_violated_share", "descent violated", "images without the descent, %"),
)


def draw_by_module(rows: pd.DataFrame, look: Look) -> list[Figure]:
    """Return the figures that ``rows`` have data for.

    Args:
        rows: of :func:`bench.analysis.accuracies.accuracy_rows`.
        look: of the series of the report.
    """
    rows = rows[rows["modules"] > 1]
    if rows.empty:
        return []
    rates = rows.groupby("panel")["noise_rate"]
    rows = rows[(rows["noise_rate"] == rates.transform("min")) | (rows["noise_rate"] == rates.transform("max"))]
    rows = with_noise_in_panel(rows)
    belief = _figure(
        rows,
        (_DIVERGENCE, _ACCURACY),
        look,
        "belief-by-module",
        "Belief by module",
        "The divergence is KL(p_y || p_i) of the label from the belief of module i. The optimum of SID's local "
        "objective is at most 1 - alpha times that of the module before; the dashed line is this bound from module 1 "
        f"on. BP trains the belief of its last module only. {_SEEDS}",
    )
    calibration = _figure(
        rows,
        _BELIEFS,
        look,
        "calibration-by-module",
        "Calibration by module",
        "The calibration error is the mean distance of confidence from accuracy (15 bins of equal width). A prediction "
        "is changed where the module predicts another class than the module before. The descent is violated for an "
        f"image whose divergence is more than 1 - alpha times that of the module before. {_SEEDS}",
    )
    return [figure for figure in (belief, calibration) if figure is not None]


def _figure(
    rows: pd.DataFrame, quantities: Sequence[_Quantity], look: Look, name: str, title: str, caption: str
) -> Figure | None:
    panels, left_out = largest_panels(rows, FEW_PANELS // len(quantities))
    shown = [
        (quantity, panel, points)
        for panel in panels
        for quantity in quantities
        if not (points := _points(panel, quantity)).empty
    ]
    if not shown:
        return None
    choices = [f"{quantity.name}: {panel.title}" for quantity, panel, _ in shown]
    views = [
        _view(view, choice, quantity, panel, points, look)
        for view, choice, (quantity, panel, points) in zip(view_names(choices), choices, shown, strict=True)
    ]
    return Figure(name, title, "quantity", caption + left_out_text(left_out, "cell"), tuple(views))


def _points(panel: Panel, quantity: _Quantity) -> pd.DataFrame:
    rows = by_module(panel.rows, quantity.column)
    rows = rows[rows["y"] > 0] if quantity.scale == "log" else rows.assign(y=100 * rows["y"])
    return over_seeds(rows, "module")


def _view(name: str, choice: str, quantity: _Quantity, panel: Panel, points: pd.DataFrame, look: Look) -> View:
    dashed = expected_divergences(panel.rows, points) if quantity is _DIVERGENCE else {}
    digits = 2 if quantity.scale == "log" else 1
    curves = Curves(
        points, "module", "module", quantity.label, quantity.unit, digits, y_scale=quantity.scale, dashed=dashed
    )
    return curves_view(name, choice, _finding(quantity, curves), curves, look, cell=panel.title)


def _finding(quantity: _Quantity, curves: Curves) -> str:
    """Return the first and the last value of each series: those with a theory first, then the best."""
    modules = f"module {curves.points['module'].min()} to {curves.points['module'].max()}"
    sign = -1 if quantity.best == "largest" else 1
    clauses: list[tuple[tuple[bool, float], str]] = []
    for name, own in curves.points.groupby("series", sort=False):
        series = str(name)
        first, last = own["y"].iloc[0], own["y"].iloc[-1]
        before = f"{curves.text(first)} to " if len(own) > 1 else ""
        module = "" if len(own) > 1 else f" at module {own['module'].iloc[0]}"
        theory = f" (theory: {curves.text(curves.dashed[series][1][-1])})" if series in curves.dashed else ""
        text = f"{shortened(series)} {before}{curves.text(last)}{quantity.unit}{module}{theory}"
        clauses.append(((series not in curves.dashed, sign * last), text))
    texts = [text for _, text in sorted(clauses)]
    start = quantity.name[0].upper() + quantity.name[1:]
    return finding_of([f"{start}, {modules}: {texts[0]}", *texts[1:]])
