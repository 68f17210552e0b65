"""Tables on a terminal, at their natural width: wider than the terminal rather than cut."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_WIDEST = 10_000  # characters


def print_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print ``rows`` under the names of ``columns``."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(Text(name), no_wrap=True)  # brackets in plain text would be markup
    for row in rows:
        table.add_row(*map(Text, row))
    print_whole(console, table)


def print_whole(console: Console, table: Table) -> None:
    """Print ``table`` without cutting it."""
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum
    Console(file=console.file, width=max(needed, console.width)).print(table, crop=False)
