"""What every view of a figure must hold, and how tests read its drawings."""

import re
from urllib.parse import unquote

from bench.report.figures.figure import Figure, View

_MARK = re.compile(r'<g id="mark:(\d+):([^"]*)"')


def marks_of(svg: str) -> list[tuple[int, str]]:
    """The row and the series of each mark of a drawing, by row."""
    return sorted((int(row), unquote(series)) for row, series in _MARK.findall(svg))


def check_view(view: View) -> None:
    """Checks that each row of data has exactly one mark in each width, and that the finding is short."""
    rows = list(enumerate(view.data["method"]))
    assert rows
    assert marks_of(view.wide) == rows
    assert marks_of(view.narrow) == rows
    assert len(view.cells) == len(rows)
    assert {"over", "cell"} <= set(view.data.columns)
    assert all(isinstance(value, str) for value in view.data.to_numpy().flat)
    assert 0 < len(view.finding) < 250
    assert "nan" not in " ".join([view.finding, *view.data.to_numpy().flat])
    for svg in (view.wide, view.narrow):
        assert "nan" not in svg.lower()
        assert len(svg) < 60_000


def check_figure(figure: Figure) -> None:
    """Checks every view of ``figure``, and that their names differ."""
    assert 1 <= len(figure.views) <= 12
    assert len({view.name for view in figure.views}) == len(figure.views)
    for view in figure.views:
        assert re.fullmatch(r"[a-z0-9-]+", view.name)
        check_view(view)
