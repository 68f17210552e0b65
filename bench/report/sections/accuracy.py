"""Test accuracy: differences from BP, accuracy against noise and by epoch, and what each module believes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis.accuracies import accuracy_rows
from bench.analysis.trained import Trained, trained_methods
from bench.report.figures.figure import Figure
from bench.report.figures.forest import draw_forest
from bench.report.figures.learning import draw_by_epoch
from bench.report.figures.modules import draw_by_module
from bench.report.figures.noise import draw_against_noise
from bench.report.figures.style import Look, look_of
from bench.report.figures.wrong_labels import draw_wrong_labels
from bench.report.inputs import Inputs
from bench.report.tables.accuracy import table_of_trained
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
    trained = trained_methods(in_order(inputs.measured))
    table = table_of_trained(trained)
    return AccuracySection(draw_accuracies(inputs.measured, trained), table, len(table) > _MOST_ROWS)


def draw_accuracies(frame: pd.DataFrame, trained: Sequence[Trained]) -> tuple[Figure, ...]:
    """Return the figures of accuracy.

    Args:
        frame: the measured rows of the report.
        trained: what was trained, in the order of the tables.
    """
    rows = accuracy_rows(in_order(frame))
    look = _with_names_of(rows, look_of(frame))
    found = (
        draw_forest(trained, look),
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
