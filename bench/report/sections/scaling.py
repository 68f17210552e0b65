"""The section on memory and time against depth, batch size and number of modules."""

from dataclasses import dataclass

import pandas as pd

from bench.report.figures.figure import Figure
from bench.report.figures.scaling import scaling_figures
from bench.report.figures.style import look_of
from bench.report.inputs import Inputs
from bench.report.tables.memory import growth_table

_MOST_ROWS = 200  # of the table of growth


@dataclass(frozen=True)
class Scaling:
    """What the section shows.

    Attributes:
        figures: of memory and of time, at least one.
        growth: of bytes with depth, one row per line; possibly empty.
        left_out: the number of rows that ``growth`` lacks.
    """

    figures: tuple[Figure, ...]
    growth: pd.DataFrame
    left_out: int


def scaling(inputs: Inputs) -> Scaling | None:
    """Return the content of the section; None if nothing was measured at two points of an axis."""
    figures = scaling_figures(inputs.measured, look_of(inputs.measured))
    if not figures:
        return None
    growth = growth_table(inputs.measured)
    return Scaling(figures, growth.head(_MOST_ROWS), max(0, len(growth) - _MOST_ROWS))
