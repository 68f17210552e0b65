"""The table of a plan on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.table import print_whole
from bench.config.alpha import alpha_text
from bench.plan.rows import BY_RANK, Row

_ALWAYS = ("method", "network", "depth", "modules", "hidden", "batch_size")
_HEADINGS = {
    "batch_size": "batch",
    "activation_ratio_to_bp": "activations / BP",
    "total_ratio_to_bp": "total / BP",
    "next_peak_total_bytes": "with one sample more",
    "peak_activation_bytes_by_rank": "activations by rank",
    "peak_total_bytes_by_rank": "total by rank",
}
_NUMBERS = (
    "largest_batch",
    "peak_activation_bytes",
    "peak_total_bytes",
    "activation_ratio_to_bp",
    "total_ratio_to_bp",
    "next_peak_total_bytes",
    "peak_activation_bytes_by_rank",
    "peak_total_bytes_by_rank",
)


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """Print ``rows`` as a table at its natural width; minor axes with one value in all rows are left out.

    Bytes by rank, and the number of ranks, are shown where a row has several.
    """
    on_ranks = any(row["ranks"] > 1 for row in rows)
    numbers = [name for name in _NUMBERS if name in rows[0] and (on_ranks or not name.endswith(BY_RANK))]
    always = (*_ALWAYS, "ranks") if on_ranks else _ALWAYS
    axes = [name for name in rows[0] if name in always or (not _is_result(name) and _varies(rows, name))]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in [*axes, *numbers]:
        is_text = name in ("method", "network", "dataset", "optimizer")
        heading = _HEADINGS.get(name, name.replace("_", " "))
        # One word per line in the headings, so that numbers need no line break.
        table.add_column(
            heading.replace(" ", "\n").replace("/\n", "/ "), no_wrap=True, justify="left" if is_text else "right"
        )
    for row in rows:
        table.add_row(*(Text(_show(name, row[name])) for name in [*axes, *numbers]))
    print_whole(console, table)


def _is_result(name: str) -> bool:
    return name.endswith(("_bytes", "_ratio_to_bp", BY_RANK)) or name in ("largest_batch", "message")


def _varies(rows: Sequence[Row], name: str) -> bool:
    return len({row[name] for row in rows}) > 1


def _show(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name.endswith(BY_RANK):
        return " / ".join(f"{size:,}" for size in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, tuple):
        return alpha_text(value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
