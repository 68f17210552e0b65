"""Drawings as SVG files that stand alone."""

from collections.abc import Iterable
from html import escape

from bench.report.figures.figure import Figure
from bench.report.figures.marks import with_attributes
from bench.report.figures.theme import LIGHT_PAPER, without_variables


def figure_files(figures: Iterable[Figure]) -> dict[str, str]:
    """Return the wide drawing of each view as the text of a file, by name: ``FIGURE-VIEW.svg``."""
    return {
        f"{figure.name}-{view.name}.svg": as_document(
            view.wide, view.finding, f"{figure.title}, {view.choice}. {figure.caption}"
        )
        for figure in figures
        for view in figure.views
    }


def as_document(svg: str, title: str, description: str) -> str:
    """Return ``svg`` as a document of its own: on white, with a title and a description for those who do not see it."""
    svg = without_variables(with_attributes(svg, "figure", is_hidden=False))
    opening, end, rest = svg.partition(">")
    opening = opening.replace("<svg ", f'<svg role="img" style="background: {LIGHT_PAPER}" ', 1)
    return f"{opening}{end}<title>{escape(title)}</title><desc>{escape(description)}</desc>{rest}"
