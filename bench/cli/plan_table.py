"""The table of a plan on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.table import print_whole
from bench.config.alpha import alpha_text
from bench.plan.rows import Row

_ALWAYS = ("method", "network", "depth", "modules", "hidden", "batch_size")
_HEADINGS = {
    "batch_size": "batch",
    "activation_ratio_to_bp": "activations / BP",
    "total_ratio_to_bp": "total / BP",
    "next_peak_total_bytes": "with one sample more",
}
_NUMBERS = (
    "largest_batch",
    "peak_activation_bytes",
    "peak_total_bytes",
    "activation_ratio_to_bp",
    "total_ratio_to_bp",
    "next_peak_total_bytes",
)


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Print ``rows`` as a table at its natural width; minor axes with one value in all rows are left out."""
    numbers = [name for name in _NUMBERS if name in rows[0]]
    axes = [name for name in rows[0] if name in _ALWAYS or (not _is_result(name) and _varies(rows, name))]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in [*axes, *numbers]:
        is_text = name in ("method", "network", "dataset", "optimizer")
        heading = _HEADINGS.get(name, name.replace("_", " "))
        # One word per line in the headings, so that numbers need no line break.
        table.add_column(
            heading.replace(" ", "\n").replace("/\n", "/ "), no_wrap=True, justify="left" if is_text else "right"
        )
    for row in rows:
        table.add_row(*(Text(_show(row[name])) for name in [*axes, *numbers]))
    print_whole(console, table)


def _is_result(name: str) -> bool:
    return name.endswith(("_bytes", "_ratio_to_bp")) or name in ("largest_batch", "message")


def _varies(rows: Sequence[Row], name: str) -> bool:
    return len({row[name] for row in rows}) > 1


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple):
        return alpha_text(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
