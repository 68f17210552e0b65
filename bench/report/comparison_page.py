"""The page of a comparison of two runs, in the style of the report."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.compare import Amount, Change, Compared, Thresholds, Word
from bench.analysis.words import counted
from bench.report.comparison import Names, in_order, short_names
from bench.report.document import render

_MOST_ROWS = 1000  # changes that the page lists; what is the same comes last
_WIDEST = 100.0  # per cent or points that a bar reaches from its middle, at most
_WORDS: tuple[Word, ...] = ("worse", "better", "same", "inconclusive", "not measured")


@dataclass(frozen=True)
class Bar:
    """An interval on the scale of its column, which runs from 0 to 100 with no change at 50."""

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """A change with its bar; the bar is None where there is no number."""

    change: Change
    bar: Bar | None


def comparison_page(compared: Compared, names: Names, thresholds: Thresholds, sources: Sequence[str]) -> str:
    """Return the page.

    Args:
        compared: the result.
        names: of the first and the second run.
        thresholds: what it was compared with.
        sources: the results files, as they were given.
    """
    first, second = short_names(names)
    names = first, second
    changes = in_order(compared.changes)
    shown = changes[:_MOST_ROWS]
    reach = _reach([change.amount for change in shown if change.amount is not None])
    return render(
        "compare.html.j2",
        title=f"{names[1]} compared with {names[0]}",
        sentence=_sentence(compared),
        counts=[(word, compared.count(word)) for word in _WORDS if compared.count(word)],
        notes=compared.notes,
        rows=[Row(change, _bar(change.amount, reach)) for change in shown],
        left_out=len(changes) - len(shown),
        reach=reach,
        thresholds=thresholds,
        names=names,
        only_in=compared.only_in,
        sources=sources,
    )


def _sentence(compared: Compared) -> str:
    """Return how many comparisons became worse, and how many decide nothing."""
    worse, total = compared.count("worse"), len(compared.changes)
    if not total:
        return f"The two {compared.in_common}."
    undecided: list[Word] = ["inconclusive", "not measured"]
    counts = [(compared.count(word), word) for word in undecided if compared.count(word)]
    rest = " and ".join(f"{count:,} {'is' if count == 1 else 'are'} {word}" for count, word in counts)
    if sum(count for count, _ in counts) == total:
        return f"None of {counted(total, 'comparison')} is decided: {rest}."
    known = f"{f'{worse:,}' if worse else 'None'} of {counted(total, 'comparison')} became worse"
    return f"{known}; {rest}." if rest else f"{known}."


def _reach(amounts: Sequence[Amount]) -> float:
    """Return how far bars reach from their middle: as far as the widest interval, but no farther than is readable."""
    ends = [abs(end) for amount in amounts for end in (amount.value, amount.low, amount.high) if end is not None]
    return min(max(ends, default=0.0), _WIDEST) or 1.0


def _bar(amount: Amount | None, reach: float) -> Bar | None:
    if amount is None:
        return None
    low = amount.value if amount.low is None else amount.low
    high = amount.value if amount.high is None else amount.high
    return Bar(*(round(min(max(50 + 50 * end / reach, 0.0), 100.0), 2) for end in (amount.value, low, high)))
