"""Comparisons from records: which cells a request is about, which records stand for them, and their outcome."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bench.analysis.inference.comparison import NotMeasured, Outcome
from bench.analysis.inference.estimate import Estimate, independent_difference
from bench.analysis.inference.measures import NOT_RECORDED, OF_ONE, OF_TWO, TIMES, OfOne, OfTwo, WhyNot
from bench.analysis.inference.pairing import (
    HOW_MEASURED,
    Entry,
    Key,
    Values,
    cell_text,
    entry_of,
    is_in,
    is_of,
    key_of,
    method_axes,
    method_text,
    paired_axes,
    second_values,
)
from bench.analysis.inference.provider import Found, Request
from bench.analysis.inference.times import log_ratio_to_bp, why_not_timed
from bench.analysis.machines import machine_of
from bench.config.axes import axes
from bench.config.cell import Pass
from bench.config.methods import BASELINE
from bench.store.record import Record

_BP: Values = {"method": BASELINE}


class RecordProvider:
    """Finds comparisons in records; a :class:`bench.analysis.inference.provider.Provider`.

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
        self._by_selection: dict[str, list[Entry]] = {}

    def find(self, request: Request) -> Sequence[Found] | NotMeasured:
        """Return one entry per cell of the first method that has a counterpart, or why there is none."""
        name = request.statistic.name
        if name in NOT_RECORDED:
            return NotMeasured(NOT_RECORDED[name])
        measured_in: Pass = "latency" if name in TIMES else (OF_ONE.get(name) or OF_TWO[name]).measured_in
        own = [entry for entry in self._of_method(request.method) if is_in(entry, request.where)]
        cells = _cells([entry for entry in own if measured_in in entry.record.cell.passes], request, measured_in)
        if not cells:
            return NotMeasured(self._why_no_cell(request, measured_in))
        if name in OF_ONE:
            found = [
                one for text, of_cell in cells.items() for one in _of_modules(OF_ONE[name], request, text, of_cell)
            ]
            return found or NotMeasured(f"no record of {method_text(request.method)} has two modules")
        pairs = _Pairs(self._entries, request, measured_in)
        compare: Callable[[Sequence[Entry]], Outcome | None]
        compare = pairs.times if name in TIMES else lambda own: pairs.two(OF_TWO[name], own)
        outcomes = [(text, compare(of_cell)) for text, of_cell in cells.items()]
        second = method_text(request.against or {})
        return [Found(text, outcome) for text, outcome in outcomes if outcome is not None] or NotMeasured(
            f"there is no record of {second} in a cell of {method_text(request.method)}"
        )

    def _of_method(self, selection: Values) -> list[Entry]:
        """Return the records of the method that ``selection`` names."""
        key = repr(sorted(selection.items()))
        if key not in self._by_selection:
            self._by_selection[key] = [entry for entry in self._entries if is_of(entry, selection)]
        return self._by_selection[key]

    def _why_no_cell(self, request: Request, measured_in: Pass) -> str:
        method, of_method = method_text(request.method), self._of_method(request.method)
        if not of_method:
            return f"there is no record of {method}"
        if not any(is_in(entry, request.where) for entry in of_method):
            where = [f"{axis} = {' or '.join(map(str, values))}" for axis, values in request.where.items()]
            return f"there is no record of {method} with {', '.join(where)}"
        return f"no record of {method} has the pass {measured_in!r}"


def _cells(own: Sequence[Entry], request: Request, measured_in: Pass) -> dict[str, list[Entry]]:
    """Return the records of the first method by cell, as text without the axes of its selection."""
    cells: dict[str, list[Entry]] = {}
    for entry in own:
        names = {*paired_axes(measured_in, entry), *request.where} - request.method.keys() - HOW_MEASURED
        cells.setdefault(cell_text(entry.values, names), []).append(entry)
    return cells


def _of_modules(measure: OfOne, request: Request, text: str, own: Sequence[Entry]) -> list[Found]:
    usable, reasons = _usable(own, measure.why_not)
    if not usable:
        return [Found(text, NotMeasured(f"{method_text(request.method)}: {reasons[0]}"))]
    problem = _why_not_together(measure.measured_in, [usable], of_one_network=True, of_one_machine=False)
    if problem is not None:
        return [Found(text, NotMeasured(problem))]
    return [
        Found(f"{text}, module {module}", _with_note(outcome, reasons)) for module, outcome in measure.compare(usable)
    ]


class _Pairs:
    """Finds the counterparts of the first method's records.

    Args:
        entries: records, of which those of the second method and of BP count where their cells have the pass.
        request: with a second method.
        measured_in: the pass.
    """

    def __init__(self, entries: Sequence[Entry], request: Request, measured_in: Pass) -> None:
        self._request = request
        self._against: Mapping[str, Any] = request.against or {}
        self._pass = measured_in
        self._names = [method_text(request.method), method_text(self._against)]
        # Equal axes of network, data and training mean one network, unless the second method names another.
        self._has_one_network = not any(axes()[name].paired for name in self._against)
        self._by_key: dict[Key, list[Entry]] = {}
        methods = {self._against["method"], BASELINE}
        for entry in entries:
            if measured_in in entry.record.cell.passes and entry.values["method"] in methods:
                self._by_key.setdefault(self._key(entry, entry.values), []).append(entry)

    def two(self, measure: OfTwo, own: Sequence[Entry]) -> Outcome | None:
        """Return the outcome for the records of one cell; None if it has no counterpart."""
        others = self._others(own[0])
        if not others:
            return None
        sides = [_Side(*side) for side in zip(self._names, (own, others), measure.why_not, strict=True)]
        return self._outcome(sides, measure.of_one_machine, lambda used: measure.compare(used[0], used[1]))

    def times(self, own: Sequence[Entry]) -> Outcome | None:
        """Return the outcome of a ratio of step times; BP needs no record of its own beside the other method."""
        cells = own[0].values, second_values(own[0].values, self._against)
        bp = [self._key(own[0], second_values(cell, _BP)) for cell in cells]
        is_bp = [self._key(own[0], cell) == key for cell, key in zip(cells, bp, strict=True)]
        others = own if is_bp[1] else self._others(own[0])
        if not others:
            return None
        if bp[0] != bp[1]:
            return NotMeasured(
                "they were timed beside BP in different cells, and times of two processes do not compare"
            )
        sides = [_Side(self._names[0], own, self._why_not_timed)] if is_bp[1] or not is_bp[0] else []
        sides += [] if is_bp[1] else [_Side(self._names[1], others, self._why_not_timed)]

        def ratio(used: Sequence[Sequence[Entry]]) -> Estimate:
            estimates = [log_ratio_to_bp(side) for side in used]
            if len(estimates) == 2:
                log = independent_difference(*estimates)
            else:
                log = estimates[0] if is_bp[1] else estimates[0].mirrored()
            return log if TIMES[self._request.statistic.name] == 1 else log.mirrored()

        return self._outcome(sides, True, ratio)

    def _outcome(
        self, sides: Sequence["_Side"], of_one_machine: bool, compare: Callable[[Sequence[Sequence[Entry]]], Outcome]
    ) -> Outcome:
        used, reasons = [], []
        for side in sides:
            usable, left_out = _usable(side.entries, side.why_not)
            if not usable:
                return NotMeasured(f"{side.name}: {left_out[0]}")
            used.append(usable)
            reasons += [f"{side.name}: {reason}" for reason in left_out]
        problem = _why_not_together(self._pass, used, self._has_one_network, of_one_machine)
        return _with_note(compare(used), reasons) if problem is None else NotMeasured(problem)

    def _others(self, first: Entry) -> list[Entry]:
        """Return the records of the second method in the cell of ``first``."""
        wanted = second_values(first.values, self._against)
        return [
            entry
            for entry in self._by_key.get(self._key(first, wanted), [])
            if all(entry.values[name] == wanted[name] for name in self._against.keys() & HOW_MEASURED)
        ]

    def _key(self, entry: Entry, values: Values) -> Key:
        """Return what is equal for records of one cell of one method; the axes are those of ``entry``."""
        return key_of(values, {*paired_axes(self._pass, entry), *method_axes(), *self._against} - HOW_MEASURED)

    def _why_not_timed(self, entry: Entry) -> str | None:
        """Return why a latency cannot be used: for a reason of its own, or because BP's own record is noisy."""
        of_bp = self._by_key.get(self._key(entry, second_values(entry.values, _BP)), [])
        noisy = [
            one.record.latency.noisy_because
            for one in of_bp
            if one.seed == entry.seed and one.record.latency is not None and one.record.latency.noisy_because
        ]
        return why_not_timed(entry) or (f"BP's own cell is noisy: {noisy[0]}" if noisy else None)


class _Side(NamedTuple):
    """The records of one method in one cell, 1 or more."""

    name: str
    entries: Sequence[Entry]
    why_not: WhyNot


def _usable(entries: Sequence[Entry], why_not: WhyNot) -> tuple[list[Entry], list[str]]:
    """Return the records that can be used, and the reasons why the others cannot."""
    usable, reasons = [], []
    for entry in entries:
        reason = _why_not_ok(entry.record) or why_not(entry)
        if reason is None:
            usable.append(entry)
        else:
            reasons.append(reason)
    return usable, reasons


def _why_not_ok(record: Record) -> str | None:
    if record.status == "ok":
        return None
    message = (record.message or "").strip().partition("\n")[0].rstrip(".")
    return f"{record.status}: {message}" if message else record.status


def _why_not_together(
    measured_in: Pass, sides: Sequence[Sequence[Entry]], of_one_network: bool, of_one_machine: bool
) -> str | None:
    """Return why records cannot be compared, or None; what they do not say differs from nothing."""
    records = [entry.record for side in sides for entry in side]
    data = [record.data for record in records if record.data is not None]
    if measured_in == "accuracy":
        is_one_set = len({part.fingerprint for part in data}) <= 1
    else:
        is_one_set = len({(part.shape, part.classes) for part in data}) <= 1
    if not is_one_set:
        return "the data differ between records"
    if len({record.layout for record in records} - {None}) > 1:
        return "the layouts of the networks differ"
    sizes = sorted({record.parameters for record in records if record.parameters is not None})
    if of_one_network and len(sizes) > 1:
        return f"the networks differ, from {sizes[0]:,} to {sizes[-1]:,} parameters"
    if of_one_machine and len({machine_of(record) for record in records}) > 1:
        return "the records come from different machines or configurations of a machine"
    return None


def _with_note(outcome: Outcome, reasons: Sequence[str]) -> Outcome:
    """Return ``outcome`` with a note on the records that were left out."""
    if not reasons or not isinstance(outcome, Estimate):
        return outcome
    left_out = f"{len(reasons)} record{'' if len(reasons) == 1 else 's'} left out ({reasons[0]})"
    return replace(outcome, note="; ".join(filter(None, (outcome.note, left_out))))
