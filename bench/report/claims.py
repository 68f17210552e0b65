"""Verdicts on claims as a Markdown table."""

from collections.abc import Sequence

from bench.analysis.statistics.rows import ClaimRow
from bench.report.markdown import markdown_table

_COLUMNS = ("claim", "verdict", "comparisons", "effect [interval] that decides", "margin", "sample", "controls")


def claims_markdown(rows: Sequence[ClaimRow]) -> str:
    """Return a table of ``rows``, one line per claim, each with its sentence."""
    return markdown_table(_COLUMNS, [_cells(row) for row in rows])


def _cells(row: ClaimRow) -> tuple[str, ...]:
    return (row.sentence, row.verdict, row.answers, row.effect, row.margin, row.sample, row.control_text)
