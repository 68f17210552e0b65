"""The records of a page as its answers need them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from bench.analysis.answer.methods import Method, methods_of
from bench.analysis.statistics.comparison import Comparison, NotMeasured
from bench.analysis.statistics.pairing import Entry
from bench.analysis.statistics.provider import Request
from bench.analysis.statistics.records import RecordProvider
from bench.analysis.statistics.statistic import STATISTICS

# Differences up to it do not matter: the margins of the claims, in per cent and points.
MARGINS = {"activation_bytes": 5.0, "total_bytes": 5.0, "step_time": 3.0, "accuracy_last": 0.5, "accuracy_chosen": 0.5}


@dataclass(frozen=True)
class Page:
    """The records of a page.

    Attributes:
        provider: finds comparisons in the records.
        frame: the rows of those that are ``ok`` (:func:`bench.analysis.frame.records_frame`).
        results: the results file that commands append to; None: the usual one.
    """

    provider: RecordProvider
    frame: pd.DataFrame
    results: str | None = None

    @cached_property
    def methods(self) -> dict[Method, list[Entry]]:
        """The records of each method."""
        return methods_of(self.provider.entries)

    @cached_property
    def _places(self) -> pd.Series:
        return pd.Series(range(len(self.frame)), index=self.frame["id"] if len(self.frame) else [])

    def rows(self, ids: Iterable[str]) -> pd.DataFrame:
        """Return the rows of the records with ``ids``, in the order of the frame."""
        known = [self._places[one] for one in ids if one in self._places.index]
        return self.frame.iloc[sorted(known)]

    def _ok(self, ids: Iterable[str]) -> tuple[str, ...]:
        return tuple(one for one in ids if one in self._places.index)

    def part(self, rows: pd.DataFrame) -> "Page":
        """Return the page of the records in ``rows`` alone."""
        ids = set(rows["id"])
        return Page(
            RecordProvider(entry.record for entry in self.provider.entries if entry.record.id in ids),
            rows,
            self.results,
        )

    def comparisons(self, statistic: str, first: Method, second: Method) -> list[Comparison]:
        """Return the comparison of two methods in each cell; one without a number if there is no cell."""
        row = STATISTICS[statistic]
        found = self.provider.find(Request(row, first.selection, second.selection, {}))
        margin = MARGINS[statistic]
        if isinstance(found, NotMeasured):
            return [Comparison(first.name, second.name, row, found, margin)]
        return [
            Comparison(first.name, second.name, row, one.outcome, margin, cell=one.cell, records=self._ok(one.records))
            for one in found
        ]


def measured(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return the comparisons that have a number."""
    return [one for one in comparisons if not isinstance(one.outcome, NotMeasured)]


def reason(comparisons: Sequence[Comparison]) -> str:
    """Return why comparisons, 1 or more, have no number; of several reasons the last."""
    outcome = comparisons[-1].outcome
    return outcome.because if isinstance(outcome, NotMeasured) else ""
