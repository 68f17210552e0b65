"""The largest batch that fits a budget, against depth: one figure in the report's look, with its text alternative."""

from collections.abc import Iterator, Sequence
from html import escape

import pandas as pd

from bench.analysis.frame import panel_axes, series_names, share_text
from bench.errors import ConfigError
from bench.plan.rows import Row
from bench.plan.tasks import BATCH_LIMIT
from bench.report.figures.drawing import draw_lines


def largest_batch_svg(rows: Sequence[Row], budget: str) -> str:
    """The rows of :func:`bench.plan.rows.budget_rows` as SVG: a line a method, a panel a network, hidden size, layout.

    Lines for which no batch fits are left out, and those beyond the search's limit are drawn at the limit.

    Raises:
        ConfigError: there is nothing to draw.
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
    figure = draw_lines(
        pd.concat(panels, ignore_index=True),
        "depth",
        "largest batch",
        {"depth": "depth", "y": "largest batch"},
        _in_words,
        name="largest-batch-against-depth",
        title=f"Largest batch whose training step fits {budget}",
        caption=f"Peak total bytes, planned exactly; {_in_words(BATCH_LIMIT)} is drawn at that number.",
    )
    description = (
        f"<title>{escape(figure.title)}</title><desc>{escape(f'{figure.alternative} {figure.caption}')}</desc>"
    )
    opening, end, rest = figure.svg.partition(">")
    return f'{opening} role="img"{end}{description}{rest}'


def _layouts(group: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The ways in which ``modules`` follows depth in ``group``; one whose cells another one has, too, is left out."""
    parts = [(share_text(part.iloc[0]), part) for _, part in group.groupby("layers", sort=True)]
    parts.append(("one module", group[group["modules"] == 1]))
    # The largest first, so that of two that hold the same cells the first stays.
    kept: list[set[object]] = []
    for layout, part in sorted(parts, key=lambda item: -len(item[1])):
        cells = set(part.index)
        if cells and not any(cells <= other for other in kept):
            kept.append(cells)
            yield layout, part


def _in_words(batch: float) -> str:
    return f"more than {BATCH_LIMIT:,}" if batch >= BATCH_LIMIT else f"{batch:,.0f}"
