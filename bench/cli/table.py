"""Tables of the commands: in a file or a pipe, a row is a line; on a narrow terminal, text may be wrapped."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_WIDEST = 10_000  # characters
_GAP = 2  # characters after a column


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print ``rows`` of text under the names of ``columns``.

    On a terminal, cells are wrapped between words where the table is too wide, if each word fits.
    """
    cells = list(zip(columns, *rows, strict=True))
    words = [max(cell_len(word) for text in column for word in text.split()) for column in cells]
    lines = [max(map(cell_len, column)) for column in cells]
    space = console.width - _GAP * len(columns)
    wrapped = console.is_terminal and sum(words) <= space < sum(lines)
    table = Table(box=None, padding=(0, _GAP, int(wrapped), 0))  # an empty line between rows of several lines
    for name, width in zip(columns, _narrowed(lines, words, space) if wrapped else lines, strict=True):
        table.add_column(Text(name), width=width)  # brackets in plain text would be markup
    for row in rows:
        table.add_row(*map(Text, row))
    print_whole(console, table)


def print_whole(console: Console, table: Table) -> None:
    """Print ``table`` at its natural width: wider than the terminal rather than cut."""
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    whole = Console(file=console.file, width=needed, force_terminal=console.is_terminal)
    with whole.capture() as captured:
        whole.print(table, crop=False)
    console.file.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _narrowed(widths: Sequence[int], least: Sequence[int], space: int) -> list[int]:
    """Return ``widths`` with the widest columns narrowed until all fit in ``space``, none below its ``least``."""
    narrowed = list(widths)
    while sum(narrowed) > space:
        widest = max(range(len(narrowed)), key=lambda column: (narrowed[column] > least[column], narrowed[column]))
        narrowed[widest] -= 1
    return narrowed
