"""A figure of the page: drawings to choose from, each with the numbers that it shows."""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class View:
    """One drawing of a figure, such as that of one cell or of one axis.

    In both drawings, ``data-mark="N"`` is on the mark of row ``N`` of ``data``, and ``data-series="NAME"`` on what
    belongs to one series, its marks, line and label; see :mod:`bench.report.figures.marks`.

    Attributes:
        name: identifier within the figure: lower-case letters, digits and hyphens.
        choice: its entry in the chooser.
        finding: what the drawing shows, as one sentence of less than 250 characters; its title and text alternative.
        wide: markup of the ``<svg>`` element for wide pages.
        narrow: the same for a page of 400 pixels.
        data: the numbers shown, as text. One of its columns is ``method``, the name of the series.
        cells: of each row of ``data``, the id of its record; of several seeds, that of the least seed, from whose panel
            the page leads to the others.
    """

    name: str
    choice: str
    finding: str
    wide: str
    narrow: str
    data: pd.DataFrame
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: identifier on the page: lower-case letters, digits and hyphens.
        title: what is drawn.
        choice: what the views differ in, the label of the chooser, such as ``cell``.
        caption: what a reader needs to know to read the drawings.
        views: at least one.
    """

    name: str
    title: str
    choice: str
    caption: str
    views: tuple[View, ...]
