"""The checks as a table on a terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from bench.machine.doctor.check import Check

_STYLES = {"ok": "green", "warn": "yellow", "unknown": "dim"}


def checks_table(checks: Sequence[Check]) -> Table:
    """Makes a table with one row per check: name, result, verdict, advice."""
    table = Table("check", "found", "verdict", "what to do", box=None, padding=(0, 2, 0, 0))
    for check in checks:
        verdict = Text(check.verdict, style=_STYLES[check.verdict])
        table.add_row(Text(check.name), Text(check.found), verdict, Text(check.advice or ""))
    return table
