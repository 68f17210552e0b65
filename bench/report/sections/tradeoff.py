"""The section on memory against time."""

from dataclasses import dataclass

from bench.report.figures.figure import Figure
from bench.report.figures.rivals import rivals_figure
from bench.report.figures.style import look_of
from bench.report.figures.tradeoff import tradeoff_figure
from bench.report.inputs import Inputs


@dataclass(frozen=True)
class TradeOff:
    """What the section shows."""

    figures: tuple[Figure, ...]


def tradeoff(inputs: Inputs) -> TradeOff | None:
    """Return the content of the section; None if no cell has both memory and time."""
    look = look_of(inputs.measured)
    found = (tradeoff_figure(inputs.measured, look), rivals_figure(inputs.measured, look))
    figures = tuple(figure for figure in found if figure is not None)
    return TradeOff(figures) if figures else None
