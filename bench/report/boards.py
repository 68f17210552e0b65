"""A leaderboard as a Markdown table."""

from bench.report.markdown import markdown_table
from bench.report.sections.leaderboard import Entry, ShownBoard
from bench.report.tables.text import NOT_MEASURED


def board_markdown(board: ShownBoard) -> str:
    """Return one line per method, in the order of the board, with its numbers, their intervals and verdicts."""
    columns = ["method", *(column.heading for column in board.columns)]
    return markdown_table(columns, [[row.title, *map(_text, entries)] for row, entries in board.rows])


def _text(entry: Entry) -> str:
    if not entry.number:
        return NOT_MEASURED
    separator = " " if entry.detail.startswith("[") else ", "  # an interval, or something else
    text = separator.join(filter(None, [entry.number, entry.detail]))
    text = text if entry.verdict is None else f"{text} ({entry.verdict})"
    return text if entry.doubt is None else f"{text}, noisy: {entry.doubt}"
