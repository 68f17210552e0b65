"""Pages for tests of the script: figures and a table with known numbers, and records with known values."""

from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import jinja2
import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure as MatplotlibFigure
from record_builder import in_a_row, make_record

from bench.report import document
from bench.report.data.block import data_block, raw_script
from bench.report.data.columns import Column
from bench.report.data.held import Held
from bench.report.figures.canvas import Canvas, drawn_twice
from bench.report.figures.figure import Figure, View
from bench.report.figures.marks import mark_gid, series_gid
from bench.report.inputs import Inputs
from bench.report.sections.cells import Cells
from bench.report.sections.section import Filled
from bench.store.record import Record

SPECIAL = '<b>&amp; "it\'s" $1 </script>'
METHODS = {"bp": "#1a1a1a", "sid-streamed": "#0072b2", "bp-checkpoint": "#b34700"}
DEPTHS = (2, 4, 8, 16)
LONG_NAME = "a_package_of_somebody." * 9 + "module:network"
LONG = 61  # rows of the long tables
NAME_OF_LONG_CHOICE = "digits, depth 16, modules 16, hidden 256"

_TEMPLATES = {
    "sections/figures.html.j2": """{% from "figure.html.j2" import figure %}
        {% for drawn in content %}{{ figure(drawn) }}{% endfor %}""",
    "sections/numbers.html.j2": """{% from "macros.html.j2" import table %}
        <p>Verdicts: {% for verdict in content.verdicts %}
        <span class="badge" data-verdict="{{ verdict }}">{{ verdict }}</span>
        {% endfor %}<a href="#figure-one.third">The third view</a></p>
        {{ table(content.frame, 'Numbers of ' ~ content.special) }}""",
    "sections/long.html.j2": """{% from "macros.html.j2" import table %}
        <article class="answer"><div class="asked"><h3>Is {{ content.name }} faster?</h3>
        <span class="badge">no</span></div></article>
        <h3>{{ content.name }}</h3><p class="board-cell">{{ content.name }}</p>
        <div style="height: 3000px"></div>
        <details id="closed"><summary>More</summary>{{ table(content.long, 'Long, closed') }}</details>
        {{ table(content.long, 'Long ' ~ content.special) }}
        {{ table(content.wide, 'Wide') }}""",
    "sections/columns.html.j2": """{% from "macros.html.j2" import table %}
        {% for frame in content %}{{ table(frame, 'Of ' ~ frame.shape[1] ~ ' columns') }}{% endfor %}""",
}
VERDICTS = (
    "supported",
    "refuted",
    "not-supported",
    "undecided",
    "not-measured",
    "better",
    "worse",
    "equivalent",
    "same",
    "inconclusive",
)


def made_records() -> list[Record]:
    """Builds a record per method and depth, one of which failed, with samples and a trace."""
    records = []
    for place, method in enumerate(METHODS):
        for depth in DEPTHS:
            failed = (method, depth) == ("bp-checkpoint", 16)
            cell = {"method": "bp" if method == "bp-checkpoint" else method, "depth": depth, "modules": depth}
            if method == "bp-checkpoint":
                cell["recompute"] = "modules"
            ratio = 1 / 3 + place + depth / 10
            parts = (
                {}
                if failed
                else {
                    "memory": 100_000 * depth + place,
                    "latency": (ratio, ratio - 0.05, ratio + 0.05),
                    "blocks": [[[0.01, 0.02, 0.03, 0.04], [0.02, 0.02, 0.02, 0.01]]],
                    "trace": in_a_row(("f1", 0.1), ("b1", 0.2), ("s", 0.1)),
                }
            )
            status = {"status": "oom", "message": SPECIAL} if failed else {}
            environment = {"cpu": SPECIAL, "memory_bytes": 2**53 + 1, "empty": {}, "nested": {"a.b": {"c.d": 1}}}
            records.append(make_record(cell, suite=f"made {SPECIAL}", environment=environment, **parts, **status))
    return records


def write_page(path: Path) -> Path:
    """Writes a page with figures, and its records as ``records.jsonl`` beside it."""
    records = made_records()
    (path.parent / "records.jsonl").write_text("".join(f"{record.line()}\n" for record in records))
    filled = [
        Filled("figures", "Figures", [_figure("figure-one", _VIEWS, records), _figure("other", _VIEWS[:2], records)]),
        Filled("numbers", f"Numbers {SPECIAL}", {"frame": _frame(), "special": SPECIAL, "verdicts": VERDICTS}),
    ]
    return _write(path, _held(records), filled)


def write_long_tables(path: Path) -> Path:
    """Writes a page with two long tables below the first screen, the first in a closed part, and a wide one."""
    wide = pd.DataFrame([{f"text {place}": "words of a reason " * 8 for place in range(9)}])
    content = {"long": _long(), "wide": wide, "special": SPECIAL, "name": LONG_NAME}
    return _write(path, _held(made_records()), [Filled("long", "Long", content)])


def write_wide_tables(path: Path, columns: Sequence[int]) -> Path:
    """Writes a page with a table of each number of ``columns``: words, sizes, and ratios with their intervals."""
    kinds = (("backbone", "resnet18"), ("batch", "32"), ("data", "random 3x32x32"), ("time / BP", "1.01 [0.96, 1.04]"))
    frames = []
    for number in columns:
        row = {f"{kinds[place % 4][0]} {place}": kinds[place % 4][1] for place in range(number)}
        frames.append(pd.DataFrame([row, row]))
    return _write(path, _held(made_records()), [Filled("columns", "Columns", frames)])


def write_many_cells(path: Path, number: int) -> Path:
    """Writes a page of ``number`` records without figures, and the file with their samples."""
    held = _held(made_records())
    tiled = [
        {name: _tiled(column, number) for name, column in part.items()}
        for part in (held.columns, held.raw, held.derived)
    ]
    tiled[0]["id"] = {"a": [f"cell.{index}" for index in range(number)]}
    return _write(path, Held(number, *tiled, held.table), [], raw_file=f"{path.stem}.raw.js")


def _held(records: list[Record]) -> Held:
    return Inputs((), (), tuple(records), ()).held


def _tiled(column: Column, number: int) -> Column:
    """Returns ``column`` with its records over and over, ``number`` in all."""
    count = len(column["i"] if "i" in column else column["a"])
    indices = column.get("i") or range(count)
    return {"v": column.get("v") or column["a"], "i": [indices[index % count] for index in range(number)]}


def _write(path: Path, held: Held, filled: list[Filled], raw_file: str | None = None) -> Path:
    loader = jinja2.ChoiceLoader([jinja2.DictLoader(_TEMPLATES), document.LOADER])
    with patch.object(document, "LOADER", loader):
        html = document.render(
            "report.html.j2",
            title=f"A title with {SPECIAL}",
            provenance=f"{held.count} records of {SPECIAL}",
            series=[],
            sections=[*filled, Filled("cells", "All cells", Cells(held.count, ("records.jsonl",), None))],
            data=data_block(held, raw_file),
        )
    path.write_text(html, encoding="utf-8")
    if raw_file is not None:
        path.with_name(raw_file).write_text(raw_script(held.raw))
    return path


def _frame() -> pd.DataFrame:
    """Builds a table with numbers that are not in order as texts, absent ones, and enough rows for a filter."""
    values = [
        "10",
        "9",
        "\N{EN DASH}",
        "-1.5",
        "1,200 [1,100, 1,300]",
        "0.25",
        *(str(100 + place) for place in range(9)),
    ]
    names = ["ten", SPECIAL, "absent", "negative", "thousands", "quarter", *(f"row {place}" for place in range(9))]
    return pd.DataFrame({"name": names, "value": values})


def _long() -> pd.DataFrame:
    """Builds a table of so many rows that the script makes it when it comes into view."""
    methods = [*METHODS, SPECIAL]
    return pd.DataFrame([{"method": methods[place % 4], "steps": str(place * 37 % LONG)} for place in range(LONG)])


_VIEWS = (
    ("first", "depth 2"),
    ("second", "depth 4"),
    ("third", "depth 8"),
    ("packed", NAME_OF_LONG_CHOICE),
    ("last", f"all {SPECIAL}"),
)


def _figure(name: str, views: tuple[tuple[str, str], ...], records: list[Record]) -> Figure:
    drawn = tuple(_view(view, choice, place, records) for place, (view, choice) in enumerate(views))
    return Figure(name, f"Ratio to BP {SPECIAL}", "cell", f"A mark is a cell. {SPECIAL}", drawn)


def _view(name: str, choice: str, place: int, records: list[Record]) -> View:
    depths = DEPTHS if name == "last" else DEPTHS[place : place + 1]
    chosen = [record for record in records if record.cell.depth in depths and record.latency is not None]
    methods = [_method(record) for record in chosen]
    rows = [
        {
            "method": method,
            "depth": str(record.cell.depth),
            "ratio": repr(record.latency.ratio_to_bp) if record.latency else "",
            "interval": f"[{record.latency.ratio_ci95[0]!r}, {record.latency.ratio_ci95[1]!r}]"
            if record.latency
            else "",
            "over": "1 process",
            "cell": f"{record.cell.network} {SPECIAL}",
        }
        for method, record in zip(methods, chosen, strict=True)
    ]
    finding = f"At {choice}, {methods[0]} takes {float(rows[0]['ratio']):.2f} of the time."
    with mpl.rc_context({"svg.fonttype": "none", "text.parse_math": False}):
        wide, narrow = drawn_twice(_drawing(rows))
    return View(name, choice, finding, wide, narrow, pd.DataFrame(rows), tuple(record.id for record in chosen))


def _method(record: Record) -> str:
    return "bp-checkpoint" if record.cell.recompute == "modules" else record.cell.method


def _drawing(rows: list[dict[str, str]]) -> Callable[[Canvas], MatplotlibFigure]:
    def draw(canvas: Canvas) -> MatplotlibFigure:
        drawing = canvas.figure(3)
        axes = drawing.subplots()
        for number, row in enumerate(rows):
            colour = METHODS[row["method"]]
            (mark,) = axes.plot(number, float(row["ratio"]), "o", color=colour, markersize=8)
            mark.set_gid(mark_gid(number, row["method"]))
            label = axes.annotate(
                row["method"], (number, float(row["ratio"])), (6, 6), textcoords="offset points", color=colour
            )
            label.set_gid(series_gid(row["method"]))
        axes.set_xlabel("cell")
        axes.set_ylabel("time / BP's")
        axes.margins(0.3)
        return drawing

    return draw
