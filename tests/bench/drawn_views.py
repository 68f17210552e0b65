"""What a test finds in the drawings of a view."""

import re
from collections import Counter
from collections.abc import Iterable
from urllib.parse import unquote
from xml.etree import ElementTree

from bench.report.figures.figure import Figure, View

_LONGEST_FINDING = 250


def marks_in(svg: str) -> Counter[int]:
    """Return how often each row has a mark."""
    return Counter(int(number) for number in re.findall(r'id="mark:(\d+):', svg))


def series_in(svg: str) -> dict[int, str]:
    """Return the series of the mark of each row."""
    return {int(row): unquote(series) for row, series in re.findall(r'id="mark:(\d+):([^"]*)"', svg)}


def texts_in(svg: str) -> list[str]:
    """Return the texts of a drawing, which is well-formed XML."""
    return [element.text or "" for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def check_view(view: View) -> None:
    """Check what holds for every view: one mark a row in each width, names, cells and lengths."""
    assert re.fullmatch(r"[a-z0-9-]+", view.name)
    assert 0 < len(view.finding) < _LONGEST_FINDING
    assert len(view.cells) == len(view.data)
    assert all(isinstance(cell, str) and cell for cell in view.cells)
    assert "method" in view.data
    assert view.data.map(lambda value: isinstance(value, str)).all().all()
    assert {"over", "cell"} <= set(view.data.columns)
    assert "nan" not in " ".join([view.finding, *view.data.drop(columns=["method", "cell"]).to_numpy().flat])
    for svg in (view.wide, view.narrow):
        assert marks_in(svg) == Counter(range(len(view.data)))
        assert series_in(svg) == dict(enumerate(view.data["method"]))
        assert texts_in(svg)
        assert "nan" not in svg.split("<defs>")[0].replace("nance", "")


def check_figures(figures: Iterable[Figure]) -> None:
    """Check all views, and that their names are distinct."""
    for figure in figures:
        assert figure.views
        names = [view.name for view in figure.views]
        assert len(set(names)) == len(names)
        for view in figure.views:
            check_view(view)
