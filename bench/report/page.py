"""The report: reads results files and writes one HTML page, its figures and its summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.analysis.answer.answer import Answer
from bench.analysis.series import ordered_series
from bench.report.answer_text import answer_markdown
from bench.report.beside import begun_beside
from bench.report.data.block import MOST_INLINE, data_block, raw_script
from bench.report.data.columns import Column
from bench.report.data.held import held_columns, stored_columns
from bench.report.document import render
from bench.report.figures.files import figure_files
from bench.report.inputs import Inputs, read_inputs
from bench.report.markdown import markdown_table
from bench.report.provenance import provenance_of
from bench.report.sections.section import Filled, figures_of
from bench.report.sections.side_by_side import begun
from bench.report.sections.titles import TITLES
from bench.report.tables.summary import summary_table
from bench.report.title import title_of
from bench.report.warnings import drift_of, warnings_of
from bench.store.collection import kept_apart, no_collection
from bench.store.text_file import is_special, refuse_overlaps, standard_stream, write_text

_SUMMARY = "Every method on the cells that represent each network"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ReportText:
    """What a report says without its page.

    Attributes:
        answers: on memory, time and accuracy.
        summary: one row per cell and method.
    """

    answers: tuple[Answer, ...]
    summary: pd.DataFrame


def write_report(
    files: Sequence[Path],
    page: Path,
    figures_folder: Path | None = None,
    markdown: Path | None = None,
    warn: Callable[[str], None] | None = None,
    title: str | None = None,
    progress: Progress | None = None,
    claims_file: Path | None = None,
    results: Path | None = None,
) -> ReportText:
    """Write the report on ``files`` to ``page``.

    Args:
        files: results files; of records with one id, :func:`bench.store.latest.latest_records` says which is used.
        page: the HTML file to write. Of more than :data:`bench.report.data.block.MOST_INLINE` records, the raw samples
            go to a file beside it, ``STEM.raw.js``, unless the page is a device or a pipe, which has nothing beside it.
        figures_folder: a folder for the figures as SVG files; None writes none.
        markdown: a file for the answers and the summary table as Markdown; None writes none.
        warn: is called with each warning of the page when the page is written.
        title: of the page; :func:`bench.report.title.title_of` if left out.
        progress: is called before each step with the number of steps done, that of all steps, and what comes next.
        claims_file: claims to judge, as TOML; those that come with the package if left out.
        results: the results file that the commands of the answers append to; the usual one if left out.

    Returns:
        The answers and the summary table.

    Raises:
        ConfigError: ``claims_file`` cannot be read, or a claim in it is not legal.
        StoreError: a file cannot be read, is not a results file, or cannot be written; an output is an input or another
            output; or there is no record.
    """
    with no_collection():  # most of what is made stays until the page is written, and is freed before this ends
        return _written(files, page, figures_folder, markdown, warn, title, progress, claims_file, results)


def _written(
    files: Sequence[Path],
    page: Path,
    figures_folder: Path | None,
    markdown: Path | None,
    warn: Callable[[str], None] | None,
    title: str | None,
    progress: Progress | None,
    claims_file: Path | None,
    results: Path | None,
) -> ReportText:
    step = _Steps(3 + len(TITLES), progress)
    step("reading the records")
    inputs = read_inputs(files, claims_file, results)
    raw_file = _raw_file(page, inputs)
    with begun_beside(lambda: _stored(inputs, raw_file)) as stored, kept_apart():
        from bench.report.sections.order import SECTIONS  # what draws takes a second to load

        with begun(SECTIONS, inputs) as made:
            step("putting them in columns")
            columns, raw, script = stored()
            held = held_columns(inputs.records, inputs.frame, (columns, raw))
            data = data_block(held, None if raw_file is None else raw_file.name)
            summary, note = summary_table(inputs.measured)
            sections = made(step)
    step("writing the page")
    html = page_of(inputs, sections, data, title)
    outputs = [("the page", page, html)]
    if raw_file is not None and script is not None:
        outputs.insert(0, ("the raw samples of the page", raw_file, script))
    if figures_folder is not None:
        drawings = figure_files(figures_of(sections))
        outputs += [("the figure", figures_folder / name, svg) for name, svg in drawings.items()]
    if markdown is not None:
        answers = "\n\n".join(map(answer_markdown, inputs.answers))
        table = markdown_table(list(summary.columns), summary.to_numpy().tolist())
        table = f"<details><summary>{_SUMMARY}</summary>\n\n{table}\n\n{note}.\n\n</details>"
        outputs.append(("the summary", markdown, f"{answers}\n\n{table}\n"))
    refuse_overlaps([(name, path) for name, path, _ in outputs], [*files, *filter(None, [claims_file])])
    for _, path, text in outputs:
        write_text(path, text)
    if warn is not None:
        for warning in (*warnings_of(inputs), *drift_of(inputs)):
            warn(warning)
    return ReportText(inputs.answers, summary)


def _stored(inputs: Inputs, raw_file: Path | None) -> tuple[dict[str, Column], dict[str, Column], str | None]:
    """Return the columns of the records: those of the page, the raw samples if it has them, or else their file."""
    columns, raw = stored_columns(inputs.records)
    return (columns, raw, None) if raw_file is None else (columns, {}, raw_script(raw))


def _raw_file(page: Path, inputs: Inputs) -> Path | None:
    """Return the file for the raw samples; None if they stay in the page."""
    if len(inputs.records) <= MOST_INLINE or is_special(page) or standard_stream(page) is not None:
        return None
    return page.with_name(f"{page.stem}.raw.js")


class _Steps:
    """Tells how much of a page is made; called before each step with its name."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, name: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, name)
        self._done += 1


def page_of(inputs: Inputs, sections: Sequence[Filled], data: str, title: str | None = None) -> str:
    """Return the HTML of the report; ``data`` is of :func:`bench.report.data.block.data_block`."""
    return render(
        "report.html.j2",
        title=title or title_of(inputs.records),
        provenance=provenance_of(inputs),
        series=ordered_series(inputs.frame),
        sections=sections,
        data=data,
    )
