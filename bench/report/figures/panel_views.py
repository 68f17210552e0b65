"""A figure of accuracies with a view for each panel."""

from collections.abc import Callable

import pandas as pd

from bench.analysis.accuracies import FEW_PANELS, Panel, largest_panels
from bench.report.figures.figure import Figure, View
from bench.report.figures.words import left_out_text, view_names


def figure_of_panels(
    name: str, title: str, choice: str, caption: str, rows: pd.DataFrame, view: Callable[[str, Panel], View]
) -> Figure | None:
    """Return the figure of the largest panels of ``rows``; None if there is none.

    Args:
        name: of the figure.
        title: of the figure.
        choice: what the panels are, such as ``cell``.
        caption: of the figure, after which it says how many panels are not drawn.
        rows: with the columns of :func:`bench.analysis.accuracies.largest_panels`.
        view: makes the view of a panel, given the name of the view.
    """
    panels, left_out = largest_panels(rows, FEW_PANELS)
    if not panels:
        return None
    names = view_names([panel.title for panel in panels])
    views = tuple(view(name_of_view, panel) for name_of_view, panel in zip(names, panels, strict=True))
    return Figure(name, title, choice, caption + left_out_text(left_out, choice), views)
