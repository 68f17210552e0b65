"""The report: reads results files and writes one HTML page, its figures and its summary."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from bench.report.data.block import MOST_INLINE, DataBlock, data_block
from bench.report.document import render
from bench.report.inputs import Inputs, read_inputs
from bench.report.sections.order import SECTIONS
from bench.report.sections.section import fill
from bench.report.tables.summary import summary_table
from bench.report.warnings import drift_of, warnings_of
from bench.store.text_file import is_special, refuse_overlaps, write_text


def write_report(
    files: Sequence[Path],
    page: Path,
    figures_folder: Path | None = None,
    markdown: Path | None = None,
    warn: Callable[[str], None] | None = None,
    title: str | None = None,
) -> pd.DataFrame:
    """Write the report on ``files`` to ``page``.

    Args:
        files: results files; of records with one id, :func:`bench.store.latest.latest_records` says which is used.
        page: the HTML file to write. Of more than :data:`bench.report.data.block.MOST_INLINE` records, the raw samples
            go to a file beside it, ``STEM.raw.js``, unless the page is a device or a pipe, which has nothing beside it.
        figures_folder: a folder for the figures as SVG files; None writes none.
        markdown: a file for the summary table as Markdown; None writes none.
        warn: is called with each warning of the page when the page is written.
        title: of the page; the question that its suites ask if left out.

    Returns:
        The summary table, with one row per network and method.

    Raises:
        StoreError: a file cannot be read, is not a results file, or cannot be written; an output is an input or another
            output; or there is no record.
    """
    inputs = read_inputs(files)
    raw_file = _raw_file(page, inputs)
    data = data_block(inputs.held, None if raw_file is None else raw_file.name)
    html = page_of(inputs, data, title)
    summary, note = summary_table(inputs.measured)
    outputs = [("the page", page, html)]
    if raw_file is not None and data.raw_script is not None:
        outputs.insert(0, ("the raw samples of the page", raw_file, data.raw_script))
    if markdown is not None:
        outputs.append(("the summary", markdown, f"{to_markdown(summary)}\n\n{note}.\n"))
    refuse_overlaps([(name, path) for name, path, _ in outputs], files)
    for _, path, text in outputs:
        write_text(path, text)
    if warn is not None:
        for warning in (*warnings_of(inputs), *drift_of(inputs)):
            warn(warning)
    return summary


def _raw_file(page: Path, inputs: Inputs) -> Path | None:
    """Return the file for the raw samples; None if they stay in the page."""
    if len(inputs.records) <= MOST_INLINE or is_special(page):
        return None
    return page.with_name(f"{page.stem}.raw.js")


def page_of(inputs: Inputs, data: DataBlock, title: str | None = None) -> str:
    """Return the HTML of the report."""
    suites = ", ".join(sorted({record.suite for record in inputs.records}))
    return render(
        "report.html.j2",
        title=title or suites,
        provenance=f"{len(inputs.records)} records",
        sections=fill(SECTIONS, inputs),
        data=data.encoded,
    )


def to_markdown(table: pd.DataFrame) -> str:
    """Return ``table`` as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows)
