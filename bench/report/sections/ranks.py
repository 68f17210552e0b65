"""The section on step time on several ranks."""

from dataclasses import dataclass

import pandas as pd

from bench.analysis.ranks import rows_on_several_ranks
from bench.report.figures.figure import Figure
from bench.report.figures.ranks import ranks_figure
from bench.report.figures.style import look_of
from bench.report.inputs import Inputs
from bench.report.tables.ranks import ranks_table

_MOST_ROWS = 200  # of the table


@dataclass(frozen=True)
class SeveralRanks:
    """What the section shows.

    Attributes:
        figures: of time; none if neither a time nor a bound is known.
        table: one row per cell on several ranks, with verdicts.
        left_out: the number of rows that ``table`` lacks.
    """

    figures: tuple[Figure, ...]
    table: pd.DataFrame
    left_out: int


def ranks(inputs: Inputs) -> SeveralRanks | None:
    """Return the content of the section; None if no cell ran on several ranks."""
    table = ranks_table(inputs.measured)
    if table.empty:
        return None
    figure = ranks_figure(inputs.measured, look_of(rows_on_several_ranks(inputs.measured)))
    return SeveralRanks(() if figure is None else (figure,), table.head(_MOST_ROWS), max(0, len(table) - _MOST_ROWS))
