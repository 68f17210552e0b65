"""Verdicts on claims as a Markdown table."""

from collections.abc import Sequence

from bench.analysis.statistics.rows import ClaimRow
from bench.report.markdown import markdown_table

_COLUMNS = ("claim", "verdict", "comparisons", "effect [interval] that decides", "margin", "sample", "controls")
_BRIEF = 3  # columns


def claims_markdown(rows: Sequence[ClaimRow], *, brief: bool = False) -> str:
    """Return a table of ``rows``, one line per claim, each with its sentence; ``brief`` leaves out what decides."""
    end = _BRIEF if brief else None
    return markdown_table(_COLUMNS[:end], [_cells(row)[:end] for row in rows])


def _cells(row: ClaimRow) -> tuple[str, ...]:
    return (row.sentence, row.verdict_text, row.answers_text, row.effect_text, row.margin, row.sample, row.control_text)
