"""Tables of the commands, in a pipe and on terminals of any width."""

import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.cli.table import print_rows

CELLS = st.lists(st.text("abc[]/", min_size=1, max_size=9), max_size=8).map(" ".join)


def printed(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, no_color=True)
    print_rows(console, columns, rows)
    return [line.replace("\x1b[1m", "").replace("\x1b[0m", "") for line in file.getvalue().splitlines()]


def test_in_a_pipe_a_row_is_a_line_without_spaces_at_its_end() -> None:
    rows = [("a claim that is longer than the terminal", "refuted"), ("short", "")]
    assert printed(("claim", "verdict"), rows, 10, terminal=False) == [
        "claim                                     verdict",
        "a claim that is longer than the terminal  refuted",
        "short",
    ]


def test_a_narrow_terminal_wraps_between_words() -> None:
    lines = printed(("claim", "verdict"), [("one two three four", "refuted")], 22, terminal=True)
    assert [line.rstrip() for line in lines if line.strip()] == [
        "claim        verdict",
        "one two      refuted",
        "three four",
    ]


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4), st.integers(1, 120))
def test_a_terminal_shows_every_word_whole(rows: list[tuple[str, str, str]], width: int) -> None:
    columns = ("first one", "second", "third")
    lines = printed(columns, rows, width, terminal=True)
    words = sorted(word for cells in (columns, *rows) for cell in cells for word in cell.split())
    assert sorted(" ".join(lines).split()) == words
    longest = sum(
        max(len(word) for cell in cells for word in cell.split()) for cells in zip(columns, *rows, strict=True)
    )
    if longest + 6 <= width:
        assert max(map(len, lines)) <= width
