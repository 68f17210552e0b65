"""The shorter markup of drawings: lines of the grid become one path, other marks keep their group and their clip."""

import xml.etree.ElementTree as ET

from bench.report.figures.canvas import NARROW
from bench.report.figures.compact import compacted
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.figures.style import drawing
from bench.report.figures.svg import svg_of

GRID = "#e4e4e4"


def test_lines_of_the_grid_are_one_path_before_their_labels() -> None:
    style = f'style="fill: none; stroke: {GRID}; stroke-width: 0.6"'
    lines = [
        f'<g><path d="M {x}.04 1.26 L {x}.04 9 " clip-path="url(#a)" {style}/><text x="{x}">{x}</text></g>'
        for x in (1, 2)
    ]
    assert compacted("<svg>" + "".join(lines) + "</svg>", GRID) == (
        f'<svg><path d="M1 1.3L1 9M2 1.3L2 9" style="fill:none;stroke:{GRID};stroke-width:0.6"/>'
        '<text x="1">1</text><text x="2">2</text></svg>'
    )


def test_other_lines_stay_apart_and_clipped() -> None:
    line = '<path d="M1 1L2 2" clip-path="url(#a)" style="fill:none;stroke:#000000"/>'
    assert compacted(f"<g>{line}{line}</g>", GRID) == line + line


def test_what_cannot_be_seen_is_left_out() -> None:
    unseen = '<path d="M 0 0 L 9 0 L 9 9 z" style="fill: none"/>'
    seen = '<path d="M 0 0 L 9 0 z" style="fill: none; stroke: #cccccc; stroke-linejoin: miter; stroke-width: 0.8"/>'
    last = '<path d="M 0 0" style="stroke: #ffffff; stroke-linejoin: miter"/>'
    assert compacted(unseen + seen + last, GRID) == (
        '<path d="M0 0L9 0z" style="fill:none;stroke:#cccccc;stroke-width:0.8"/><path d="M0 0" style="stroke:#ffffff"/>'
    )


def test_groups_with_an_attribute_are_kept() -> None:
    assert compacted('<g><g id="a"><g><g id="b"/></g></g></g>', GRID) == '<g id="a"><g id="b"/></g>'


def test_a_drawing_stays_well_formed_and_keeps_its_marks() -> None:
    with drawing():
        figure = NARROW.figure(2.0)
        axes = figure.subplots()
        axes.plot([0, 1e-9, -3], [1, 2, 3], gid=series_gid("bp"))
        axes.plot([1], [1], marker="o", gid=mark_gid(0, "bp"))
        svg = svg_of(figure)
    root = ET.fromstring(svg)
    identifiers = [
        element.get("id") for element in root.iter() if (element.get("id") or "").startswith(("mark", "series"))
    ]
    assert identifiers == ["series:bp", "mark:0:bp"]


def test_neighbouring_marks_of_a_series_share_what_their_styles_have_in_common() -> None:
    def mark(row: int, width: int, series: str = "bp") -> str:
        return f'<g id="mark:{row}:{series}"><path d="M1 1L1 1" style="fill: none; stroke-width: {width}"/></g>'

    assert compacted("".join(mark(row, row // 2) for row in range(3)), GRID) == (
        '<g style="fill:none"><g id="mark:0:bp"><path d="M1 1h0" style="stroke-width:0"/></g>'
        '<g id="mark:1:bp"><path d="M1 1h0" style="stroke-width:0"/></g>'
        '<g id="mark:2:bp"><path d="M1 1h0" style="stroke-width:1"/></g></g>'
    )
    others = [mark(0, 1), mark(1, 1, "bp-plain"), mark(2, 1)]
    assert "<g style" not in compacted("".join(others), GRID)


def test_a_short_line_is_no_dot() -> None:
    assert (
        compacted('<path d="M 1 1 L 1 12 M 3 4 L 3 4 M 5 6 L 5 6.5 z"/>', GRID)
        == '<path d="M1 1L1 12M3 4h0M5 6L5 6.5z"/>'
    )
