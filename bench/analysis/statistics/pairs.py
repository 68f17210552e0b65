"""The records of a second method for those of a first, cell by cell, and the outcome of the two."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.estimate import independent_difference
from bench.analysis.statistics.index import Index
from bench.analysis.statistics.measures import OfTwo
from bench.analysis.statistics.pairing import (
    HOW_MEASURED,
    Entry,
    Key,
    Values,
    key_of,
    method_axes,
    method_text,
    paired_axes,
    second_values,
    selected,
)
from bench.analysis.statistics.provider import Request
from bench.analysis.statistics.times import Timed
from bench.analysis.statistics.usable import WhyNot, usable_entries, why_not_together, with_note
from bench.config.axes import axes
from bench.config.cell import Pass


class _Side(NamedTuple):
    """The records of one method in one cell, 1 or more."""

    name: str
    entries: Sequence[Entry]
    why_not: WhyNot


class Pairs:
    """Finds the counterparts of the first method's records.

    Args:
        index: the records, of which those count whose cells have the pass.
        request: with a second method.
        measured_in: the pass.
    """

    def __init__(self, index: Index, request: Request, measured_in: Pass) -> None:
        self._index = index
        self._where = {name: values for name, values in request.where.items() if name in HOW_MEASURED}
        self._against: Mapping[str, Any] = request.against or {}
        self._pass = measured_in
        self._names = [method_text(request.method), method_text(self._against)]
        # Equal axes of network, data and training mean one network, unless the second method names another.
        self._has_one_network = not any(axes()[name].paired for name in self._against)
        self._of_method = method_axes().union(self._against) - HOW_MEASURED

    def others(self, first: Entry) -> list[Entry]:
        """Return the records of the second method in the cell of ``first``."""
        wanted = second_values(first.values, self._against)
        return [
            entry
            for entry in selected(self._find(first, wanted), self._where)
            if all(entry.values[name] == wanted[name] for name in self._against.keys() & HOW_MEASURED)
        ]

    def two(self, measure: OfTwo, own: Sequence[Entry], others: Sequence[Entry]) -> Outcome:
        """Return the outcome for the records of one cell, and those of the second method in it, 1 or more each."""
        sides = [_Side(*side) for side in zip(self._names, (own, others), measure.why_not, strict=True)]
        return self._outcome(sides, measure.of_one_machine, lambda used: measure.compare(used[0], used[1]))

    def times(self, timed: Timed, own: Sequence[Entry]) -> Outcome | None:
        """Return a ratio of times for the records of one cell; None if it has no counterpart.

        The reference that both are timed beside needs no record of its own.
        """
        cells = own[0].values, second_values(own[0].values, self._against)
        references = [self._key(own[0], second_values(cell, timed.beside)) for cell in cells]
        is_reference = [self._key(own[0], cell) == key for cell, key in zip(cells, references, strict=True)]
        others = own if is_reference[1] else self.others(own[0])
        if not others:
            return None
        if references[0] != references[1]:
            return NotMeasured("the two were not timed beside the same cell, and times of two processes do not compare")
        why_not = partial(self._why_not_timed, timed)
        if is_reference[1]:
            sides = [_Side(self._names[0], own, why_not)]
            return self._outcome(sides, True, lambda used: timed.log_ratio(used[0]))
        if is_reference[0]:
            sides = [_Side(self._names[1], others, why_not)]
            return self._outcome(sides, True, lambda used: timed.log_ratio(used[0]).mirrored())
        sides = [_Side(self._names[0], own, why_not), _Side(self._names[1], others, why_not)]
        return self._outcome(sides, True, lambda used: independent_difference(*map(timed.log_ratio, used)))

    def _outcome(
        self, sides: Sequence["_Side"], of_one_machine: bool, compare: Callable[[Sequence[Sequence[Entry]]], Outcome]
    ) -> Outcome:
        used, reasons = [], []
        for side in sides:
            usable, left_out = usable_entries(side.entries, side.why_not)
            if not usable:
                return NotMeasured(f"{side.name}: {left_out[0]}")
            used.append(usable)
            reasons += [f"{side.name}: {reason}" for reason in left_out]
        problem = why_not_together(self._pass, used, self._has_one_network, of_one_machine)
        return with_note(compare(used), reasons) if problem is None else NotMeasured(problem)

    def _find(self, like: Entry, values: Values) -> list[Entry]:
        """Return the records of the cell with ``values``, on the axes of ``like``."""
        return self._index.find(self._pass, like, values, self._of_method)

    def _key(self, entry: Entry, values: Values) -> Key:
        """Return what is equal for records of one cell of one method; the axes are those of ``entry``."""
        return key_of(values, paired_axes(self._pass, entry) | self._of_method)

    def _why_not_timed(self, timed: Timed, entry: Entry) -> str | None:
        """Return why times cannot be used: for a reason of their own, or because the reference's own are noisy."""
        reason = timed.why_not(entry)
        references = self._find(entry, second_values(entry.values, timed.beside))
        noisy = [
            blocks.noisy_because
            for blocks in (timed.read(one.record) for one in references if one.seed == entry.seed)
            if blocks is not None and blocks.noisy_because is not None
        ]
        return reason or (f"{method_text(timed.beside)} in its own record is noisy: {noisy[0]}" if noisy else None)
