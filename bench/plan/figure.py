"""The figure of the largest batch that fits a memory budget, against depth."""

from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from bench.analysis.panels import module_size_text, panel_axes
from bench.analysis.series import series_names
from bench.errors import ConfigError
from bench.plan.rows import Row
from bench.plan.tasks import BATCH_LIMIT
from bench.report.figures.describe import ends_of_lines
from bench.report.figures.panels import lines_in_panels
from bench.report.figures.style import drawing, figure_svg


def largest_batch_svg(rows: Sequence[Row], budget: str) -> str:
    """Draw the rows of :func:`bench.plan.rows.budget_rows`, with one line per method, as SVG with a text alternative.

    There is one panel per network, hidden size and module size. Rows for which no batch fits are left out; a batch
    beyond the limit of the search is drawn at the limit.

    Args:
        rows: the rows.
        budget: the memory budget as text, such as ``2GiB``.

    Raises:
        ConfigError: no batch of any row fits the budget.
    """
    frame = pd.DataFrame(rows)
    frame["y"] = pd.to_numeric(frame["largest_batch"].replace(f"> {BATCH_LIMIT}", BATCH_LIMIT), errors="coerce")
    frame = frame[frame["y"].notna()]
    if frame.empty:
        raise ConfigError(f"--figure has nothing to draw: no batch fits --budget {budget}")
    frame = frame.assign(series=series_names(frame), layers=frame["depth"] / frame["modules"])
    fields = [name for name in panel_axes() if name in frame]
    varying = [name for name in fields if name not in ("network", "dataset", "hidden") and frame[name].nunique() > 1]
    panels = []
    for _, group in frame.groupby(fields, dropna=False):
        first = group.iloc[0]
        extras = "".join(f", {name.replace('_', ' ')} {first[name]}" for name in varying)
        for layout, part in _layouts(group):
            title = f"{first['network']} on {first['dataset']}\nhidden {first['hidden']}, {layout}{extras}"
            panels.append(part.assign(panel=title))
    points = pd.concat(panels, ignore_index=True)
    with drawing():
        svg = figure_svg(lines_in_panels(points, "depth", "largest batch", log_y=True))
    title = f"Largest batch whose training step fits {budget}"
    lines = ends_of_lines(points, "depth", "largest batch", _batch_text)
    limit = f"Peak total bytes are predicted exactly; {_batch_text(BATCH_LIMIT)} is drawn at that number."
    opening, end, rest = svg.partition(">")
    return f'{opening} role="img"{end}<title>{escape(title)}</title><desc>{escape(f"{lines} {limit}")}</desc>{rest}'


def _layouts(group: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Split ``group`` by the size of a module, and yield each size with its rows.

    Cells with one module form a part of their own. A part whose cells another part contains is left out.
    """
    parts = [(module_size_text(part.iloc[0]), part) for _, part in group.groupby("layers", sort=True)]
    parts.append(("one module", group[group["modules"] == 1]))
    # Largest first, so that of two parts with the same cells the first is kept.
    kept: list[set[object]] = []
    for layout, part in sorted(parts, key=lambda item: -len(item[1])):
        cells = set(part.index)
        if cells and not any(cells <= other for other in kept):
            kept.append(cells)
            yield layout, part


def _batch_text(batch: float) -> str:
    return f"more than {BATCH_LIMIT:,}" if batch >= BATCH_LIMIT else f"{batch:,.0f}"
