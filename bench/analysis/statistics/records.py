"""Comparisons from records: which cells a request is about, which records stand for them, and their outcome."""

from collections.abc import Iterable, Sequence
from functools import cache, partial

from bench.analysis.statistics.comparison import NotMeasured, Outcome
from bench.analysis.statistics.index import Index
from bench.analysis.statistics.measures import OF_ONE, OF_TWO, TIMED, OfOne
from bench.analysis.statistics.pairing import (
    HOW_MEASURED,
    Entry,
    Values,
    entry_of,
    is_of,
    method_text,
    paired_axes,
    selected,
)
from bench.analysis.statistics.pairs import Pairs
from bench.analysis.statistics.provider import Found, Request
from bench.analysis.statistics.usable import usable_entries, why_not_together, with_note
from bench.config.cell import Pass
from bench.store.record import Record


class RecordProvider:
    """Finds comparisons in records; a :class:`bench.analysis.statistics.provider.Provider`.

    Records of one cell that differ in the seed, or in how long and how often they were measured, are one sample. Only
    records that are ``ok`` are used, and latencies that are not noisy. Where a comparison has no other record, that is
    why it is not measured; where it has, its note says how many were left out.

    Step times are compared through BP, which is timed beside each method in its own process. Records of other machines
    are not comparable in what depends on the machine, and those of other data or another network not at all.

    Args:
        records: one of each id.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._entries = [entry_of(record) for record in records]
        self._index = Index(self._entries)
        self._by_method: dict[str, list[Entry]] = {}
        for entry in self._entries:
            self._by_method.setdefault(entry.values["method"], []).append(entry)
        self._by_selection: dict[str, list[Entry]] = {}
        self._by_question: dict[str, list[Entry]] = {}

    @property
    def entries(self) -> Sequence[Entry]:
        """The records, each with its values on every axis."""
        return self._entries

    def find(self, request: Request) -> Sequence[Found] | NotMeasured:
        """Return one entry per cell of the first method that has a counterpart, or why there is none."""
        name = request.statistic.name
        measured_in = (TIMED.get(name) or OF_ONE.get(name) or OF_TWO[name]).measured_in
        own = self._selected(request)
        cells = _cells([entry for entry in own if measured_in in entry.record.cell.passes], request, measured_in)
        if not cells:
            return NotMeasured(self._why_no_cell(request, measured_in))
        if name in OF_ONE:
            found = [
                one for text, of_cell in cells.items() for one in _of_modules(OF_ONE[name], request, text, of_cell)
            ]
            return found or NotMeasured(f"no record of {method_text(request.method)} has two modules")
        pairs = Pairs(self._index, request, measured_in)
        of_cells = [_of_cell(pairs, name, text, of_cell) for text, of_cell in cells.items()]
        second = method_text(request.against or {})
        return [one for one in of_cells if one is not None] or NotMeasured(
            f"there is no record of {second} in a cell of {method_text(request.method)}"
        )

    def _of_method(self, selection: Values) -> list[Entry]:
        """Return the records of the method that ``selection`` names."""
        key = repr(sorted(selection.items()))
        if key not in self._by_selection:
            of_method = self._by_method.get(selection["method"], [])
            self._by_selection[key] = [entry for entry in of_method if is_of(entry, selection)]
        return self._by_selection[key]

    def _selected(self, request: Request) -> list[Entry]:
        """Return the records of the first method that the question is about."""
        key = repr((sorted(request.method.items()), sorted(request.where.items())))
        if key not in self._by_question:
            self._by_question[key] = selected(self._of_method(request.method), request.where)
        return self._by_question[key]

    def _why_no_cell(self, request: Request, measured_in: Pass) -> str:
        method, of_method = method_text(request.method), self._of_method(request.method)
        if not of_method:
            return f"there is no record of {method}"
        if not self._selected(request):
            where = [f"{axis} = {' or '.join(map(str, values))}" for axis, values in request.where.items()]
            return f"there is no record of {method} with {', '.join(where)}"
        return f"no record of {method} has the pass {measured_in!r}"


def _cells(own: Sequence[Entry], request: Request, measured_in: Pass) -> dict[str, list[Entry]]:
    """Return the records of the first method by cell, as text without the axes of its selection."""
    cells: dict[str, list[Entry]] = {}
    for entry in own:
        names = {*paired_axes(measured_in, entry), *request.where} - request.method.keys() - HOW_MEASURED
        cells.setdefault(entry.cell_text(frozenset(names)), []).append(entry)
    return cells


def _of_cell(pairs: Pairs, name: str, text: str, own: Sequence[Entry]) -> Found | None:
    """Return what was measured in one cell; None if it has no counterpart."""
    if name in TIMED:
        outcome = pairs.times(TIMED[name], own)
        return None if outcome is None else Found(text, outcome, _ids(own))
    measure, others = OF_TWO[name], pairs.others(own[0])
    if not others:
        return None
    found = Found(text, pairs.two(measure, own, others), _ids(own))
    if measure.measured_in != "accuracy":
        return found

    def without(seed: int) -> Outcome:
        if _seeds(own) & _seeds(others) == {seed}:
            return found.outcome  # nothing else is in common
        return pairs.two(measure, _without(seed, own), _without(seed, others))

    return found._replace(seeds=_seeds([*own, *others]), without=without)


def _of_modules(measure: OfOne, request: Request, text: str, own: Sequence[Entry]) -> list[Found]:
    @cache
    def outcomes_without(seed: int) -> dict[str, Outcome]:
        return {one.cell: one.outcome for one in _modules(measure, request, text, _without(seed, own))}

    def without(cell: str, seed: int) -> Outcome:
        return outcomes_without(seed).get(cell) or NotMeasured(f"nothing is left without seed {seed}")

    seeds = _seeds(own)
    return [
        one._replace(seeds=seeds, without=partial(without, one.cell)) for one in _modules(measure, request, text, own)
    ]


def _modules(measure: OfOne, request: Request, text: str, own: Sequence[Entry]) -> list[Found]:
    usable, reasons = usable_entries(own, measure.why_not)
    if not usable:
        return [Found(text, NotMeasured(f"{method_text(request.method)}: {reasons[0]}"), _ids(own))]
    problem = why_not_together(measure.measured_in, [usable], of_one_network=True, of_one_machine=False)
    if problem is not None:
        return [Found(text, NotMeasured(problem), _ids(own))]
    return [
        Found(f"{text}, module {module}", with_note(outcome, reasons), _ids(usable))
        for module, outcome in measure.compare(usable)
    ]


def _ids(entries: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(entry.record.id for entry in entries)


def _seeds(entries: Sequence[Entry]) -> frozenset[int]:
    return frozenset(entry.seed for entry in entries)


def _without(seed: int, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the records of other seeds; all of them if there is no other seed."""
    return [entry for entry in entries if entry.seed != seed] or entries
