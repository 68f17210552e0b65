"""The section ``claims``: the verdict on each claim that the records test, and the others folded."""

from dataclasses import dataclass

from bench.analysis.statistics.rows import ClaimRow
from bench.report.inputs import Inputs
from bench.report.text import unbroken

_UNMEASURED = "not measured"


@dataclass(frozen=True)
class ClaimEntry:
    """A claim as the page shows it.

    Attributes:
        row: its verdict.
        effect: the estimate of the comparison that decides, without its interval.
        interval: that interval; empty where there is none.
        compared: the methods and the quantity of that comparison.
        controls: how many of its controls it holds against; an en dash without any.
        record: the id of a record of its first method; None where there is none.
    """

    row: ClaimRow
    effect: str
    interval: str
    compared: str
    controls: str
    record: str | None


@dataclass(frozen=True)
class ClaimsContent:
    """The content of the section.

    Attributes:
        tested: the claims with a verdict.
        unmeasured: those of which a comparison is missing and none decides.
        leaves_seeds_out: whether claims were judged again without each seed.
    """

    tested: tuple[ClaimEntry, ...]
    unmeasured: tuple[ClaimEntry, ...]
    leaves_seeds_out: bool


def claims(inputs: Inputs) -> ClaimsContent | None:
    """Return the content of the section; None if the records test no claim and none is the user's own."""
    entries = [_entry(row) for row in inputs.claims]
    tested = tuple(entry for entry in entries if entry.row.verdict != _UNMEASURED)
    if not tested and inputs.own_claims is None:
        return None
    unmeasured = tuple(entry for entry in entries if entry.row.verdict == _UNMEASURED)
    return ClaimsContent(tested, unmeasured, all(entry.row.without_a_seed is not None for entry in entries))


def _entry(row: ClaimRow) -> ClaimEntry:
    effect, bracket, interval = row.effect.partition(" [")
    return ClaimEntry(
        row=row,
        effect=unbroken(effect),
        interval=unbroken(f"[{interval}") if bracket else "",
        compared=f"{row.first} against {row.second}: {row.statistic.replace('_', ' ')}",
        controls=row.control_text if row.controls else "\N{EN DASH}",
        record=row.records[0] if row.records else None,
    )
