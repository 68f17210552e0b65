"""Where bytes and time go: live bytes over a step, bytes at the peak, who computes when, and update locking."""

from dataclasses import dataclass

import pandas as pd

from bench.report.figures.figure import Figure
from bench.report.figures.schedule import draw_schedules
from bench.report.figures.style import look_of
from bench.report.figures.timeline import draw_timelines, largest_cells
from bench.report.inputs import Inputs
from bench.report.tables.costs import limited_costs
from bench.report.tables.limit import Limited
from bench.report.tables.locking import locking_table
from bench.report.tables.memory import category_table


@dataclass(frozen=True)
class WhySection:
    """The content of the section.

    Attributes:
        timelines: live bytes over a step; None if no record holds them.
        categories: bytes at the peak, one row per method on the largest cell of each network; possibly empty.
        schedules: who computes when; None if no record holds a trace of several modules.
        locking: one row per traced method; possibly empty.
        costs: one row per cell: bytes beside their bound and the allocator's count, times by phase, the Pareto front.
    """

    timelines: Figure | None
    categories: pd.DataFrame
    schedules: Figure | None
    locking: pd.DataFrame
    costs: Limited

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Those that there are."""
        return tuple(figure for figure in (self.timelines, self.schedules) if figure is not None)


def why(inputs: Inputs) -> WhySection | None:
    """Return the figures and tables; None if no record has bytes or times."""
    measured = inputs.measured
    if measured.empty:
        return None
    look = look_of(measured)
    section = WhySection(
        draw_timelines(measured, look),
        category_table(pd.concat([measured.iloc[:0], *largest_cells(measured)])),
        draw_schedules(measured, look),
        locking_table(measured),
        limited_costs(measured),
    )
    tables = (section.categories, section.locking, section.costs.table)
    return None if not section.figures and all(table.empty for table in tables) else section
