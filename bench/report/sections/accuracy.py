"""Test accuracy: differences from BP, accuracy against noise and by epoch, and what each module believes."""

from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis.accuracies import accuracy_rows
from bench.analysis.trained import trained_methods
from bench.report.figures.figure import Figure
from bench.report.figures.forest import draw_forest
from bench.report.figures.learning import draw_by_epoch
from bench.report.figures.modules import draw_by_module
from bench.report.figures.noise import draw_against_noise
from bench.report.figures.style import Look, look_of
from bench.report.figures.wrong_labels import draw_wrong_labels
from bench.report.inputs import Inputs
from bench.report.tables.accuracy import accuracy_table
from bench.report.tables.cells import in_order

_MOST_ROWS = 200  # of the table


@dataclass(frozen=True)
class AccuracySection:
    """The content of the section.

    Attributes:
        figures: of accuracies, in order.
        accuracies: one row per configuration and method.
        is_long: whether the table is too long for a page with scripts, which has the section of all cells.
    """

    figures: tuple[Figure, ...]
    accuracies: pd.DataFrame
    is_long: bool


def accuracy(inputs: Inputs) -> AccuracySection | None:
    """Return the figures and the table of accuracies; None if no record holds one."""
    if inputs.measured.empty or not inputs.measured["has_accuracy"].any():
        return None
    table = accuracy_table(inputs.measured)
    return AccuracySection(draw_accuracies(inputs.measured), table, len(table) > _MOST_ROWS)


def draw_accuracies(frame: pd.DataFrame) -> tuple[Figure, ...]:
    """Return the figures of accuracy that ``frame``, the measured rows of the report, has data for."""
    measured = in_order(frame)
    rows = accuracy_rows(measured)
    look = _with_names_of(rows, look_of(frame))
    found = (
        draw_forest(trained_methods(measured), look),
        draw_against_noise(rows, look),
        draw_by_epoch(rows, look),
        *draw_by_module(rows, look),
        draw_wrong_labels(rows, look),
    )
    return tuple(figure for figure in found if figure is not None)


def _with_names_of(rows: pd.DataFrame, look: Look) -> Look:
    """Return ``look`` with the series of ``rows`` that the report has under another name, such as ``bp, 1 module``."""
    own = look_of(rows)
    return replace(
        look,
        order=own.order,
        colours=own.colours | look.colours,
        text_colours=own.text_colours | look.text_colours,
        markers=own.markers | look.markers,
    )
