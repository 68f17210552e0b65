"""Two sets of records, cell by cell: what became better, what worse, and what cannot be told.

Bytes are the same in every run, so any difference counts. Times are compared as ratios to the reference that was timed
beside each cell in the same blocks (BP, or the plain network for predictions), over the processes of each side;
absolute times are never divided by each other. BP itself is compared only where fixed work was timed beside it: what
takes the same time whatever the code is. Accuracies are paired by seed and image. Where both sides hold the very
same numbers for the seeds in both, as a record and its copy do, or two trainings by unchanged code, they are the same.
The comparisons of one quantity are corrected together (Holm), so the probability that unchanged code is called better
or worse in any cell is at most 5 % for each quantity.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.analysis.common_passes import (
    NOTHING_IN_COMMON,
    Passes,
    in_common_text,
    in_order,
    passes_by_cell,
    status_changes,
)
from bench.analysis.machines import machine_of
from bench.analysis.own_versions import own_versions
from bench.analysis.statistics.comparison import Comparison, Exact, NotMeasured, Outcome
from bench.analysis.statistics.estimate import Estimate, independent_difference
from bench.analysis.statistics.measures import OF_TWO, TIMED
from bench.analysis.statistics.pairing import (
    HOW_MEASURED,
    Entry,
    Key,
    canonical,
    cell_text,
    entry_of,
    key_of,
    method_axes,
)
from bench.analysis.statistics.sentence import effect, sample, sentence
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.usable import WhyNot, usable_entries, with_note
from bench.analysis.statistics.verdict import Judged, judge
from bench.config.axes import axes
from bench.config.cell import Pass
from bench.config.check import is_baseline
from bench.config.methods import BASELINE, FIXED_WORK
from bench.store.record import Record

Held = Mapping[Key, Passes]  # what a side holds of each cell
TwoLists = tuple[list[str], list[str]]  # of the first side and of the second side
Word = Literal["better", "worse", "same", "inconclusive", "not measured"]

QUANTITIES = (
    *("activation_bytes", "total_bytes", "inference_bytes"),
    *("step_time", "inference_time"),
    *("accuracy_last", "accuracy_chosen"),
)
STATUS = "status"

_MOST_NAMED = 4  # differences of machines in a note


@dataclass(frozen=True)
class Thresholds:
    """The largest changes that do not matter.

    Attributes:
        bytes: in per cent.
        time: in per cent.
        accuracy: in percentage points.
    """

    bytes: float = 0.0
    time: float = 3.0
    accuracy: float = 0.5

    def of(self, quantity: str) -> float:
        """The threshold of one of :data:`QUANTITIES`."""
        kind = quantity.split("_")[-1] if quantity.endswith(("bytes", "time")) else "accuracy"
        return float(getattr(self, kind))


@dataclass(frozen=True)
class Amount:
    """How much a quantity changed.

    Attributes:
        value: the second set compared with the first, in ``unit``.
        low: the lower end of the interval; None if there is none. Exact numbers have both ends at the value.
        high: the upper end; None likewise.
        unit: ``%`` of the first set's, or ``percentage points``.
    """

    value: float
    low: float | None
    high: float | None
    unit: str


@dataclass(frozen=True)
class Change:
    """One quantity of one cell in both sets.

    Attributes:
        cell: the cell as text.
        quantity: one of :data:`QUANTITIES`, or ``status``.
        word: ``better`` or ``worse`` if the second set differs from the first by more than the threshold, and the
            interval excludes no difference; ``same`` if the interval is within the threshold; else ``inconclusive``, or
            ``not measured`` if a side cannot be used.
        effect: the second set minus or over the first, with its interval.
        sample: what that rests on.
        text: the same as a sentence, or why there is none.
        amount: the same as numbers; None where nothing can be compared.
        reason: why it is not measured; None if it is.
    """

    cell: str
    quantity: str
    word: Word
    effect: str
    sample: str
    text: str
    amount: Amount | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        changes: in the order of the quantities, then of the cells in the second set.
        left_out: the cells that only the first and that only the second set holds, as text.
        notes: what a person should know, such as different machines.
        passes_left_out: the cells that both sets hold, but some passes of which only the first or only the second set
            holds, as text with these passes.
        in_common: what the two have in common, to follow them in a sentence, where there is no change.
        thresholds: the largest changes that do not matter.
        commits: those that the records of the first and of the second set come from.
    """

    changes: list[Change]
    left_out: TwoLists
    notes: list[str] = field(default_factory=list)
    passes_left_out: TwoLists = field(default_factory=lambda: ([], []))
    in_common: str = NOTHING_IN_COMMON
    thresholds: Thresholds = field(default_factory=Thresholds)
    commits: TwoLists = field(default_factory=lambda: ([], []))

    def count(self, word: Word) -> int:
        """The number of changes with this word."""
        return sum(change.word == word for change in self.changes)

    @property
    def only_in(self) -> tuple[int, int]:
        """The number of cells that only the first and that only the second set holds, wholly or in some passes."""
        first, second = (len(self.left_out[at]) + len(self.passes_left_out[at]) for at in (0, 1))
        return first, second

    @property
    def shares_cells(self) -> bool:
        """Whether both sets hold a cell, whatever can be compared of it."""
        return self.in_common != NOTHING_IN_COMMON

    @property
    def has_regressed(self) -> bool:
        """Whether anything became worse."""
        return self.count("worse") > 0


def compare(
    first: Iterable[Record],
    second: Iterable[Record],
    thresholds: Thresholds | None = None,
    by: str | None = None,
    names: tuple[str, str] = ("the first run", "the second run"),
) -> Compared:
    """Compare ``second`` with ``first``.

    Args:
        first: the records of the run that is the baseline, one per id.
        second: of the run that is judged.
        thresholds: changes up to them do not matter; None: those of :class:`Thresholds`.
        by: an axis in which cells that are compared may differ; of ``method``, cells may also differ in the axes that
            belong to a method, if every cell of a side has the same value.
        names: of both, for sentences.
    """
    thresholds = thresholds or Thresholds()
    sides = [[entry_of(record) for record in records] for records in (first, second)]
    free = _free_axes(sides, by)
    held = [passes_by_cell(side, lambda entry: _key(entry, None, free)) for side in sides]
    changes = _statuses(held, free)
    for quantity in QUANTITIES:
        found = list(_comparisons(sides, quantity, thresholds.of(quantity), free, names))
        judged = iter(judge([one for one in found if isinstance(one, Comparison)]))
        changes += [_change(next(judged), quantity) if isinstance(one, Comparison) else one for one in found]
    left_out, passes_left_out = _left_out(held, free)
    commits = _commits(sides)
    notes = _notes(sides, commits)
    return Compared(changes, left_out, notes, passes_left_out, in_common_text(*held), thresholds, commits)


def _left_out(held: Sequence[Held], free: frozenset[str]) -> tuple[TwoLists, TwoLists]:
    """Return what only one of the sides holds, as text: cells, and cells with those of their passes."""
    cells: TwoLists = [], []
    passes: TwoLists = [], []
    for at, (own, other) in enumerate((held, held[::-1])):
        for key, of_cell in own.items():
            alone = in_order(of_cell.keys() - other.get(key, {}).keys())
            if key not in other:
                cells[at].append(_text(of_cell, free))
            elif alone:
                passes[at].append(f"{_text(of_cell, free)} ({', '.join(alone)})")
    for texts in (*cells, *passes):
        texts.sort()
    return cells, passes


def _text(of_cell: Passes, free: frozenset[str]) -> str:
    """The cell as text."""
    return cell_text(next(iter(of_cell.values()))[0].values, _names(None, free))


def _free_axes(sides: Sequence[Sequence[Entry]], by: str | None) -> frozenset[str]:
    """The axes in which cells that are compared may differ.

    Where a method has several values of an axis of its own, such as alpha, nothing says which of them is meant.
    """
    if by != "method":
        return frozenset() if by is None else frozenset({by})
    own = {name for name in method_axes() if all(len({entry.texts[name] for entry in side}) < 2 for side in sides)}
    return frozenset({"method", *own})


def _names(measured_in: Pass | None, free: frozenset[str]) -> list[str]:
    """The axes on which cells of both sets must be equal; None: on all that say what is measured."""
    return [
        name
        for name, axis in axes().items()
        if name not in HOW_MEASURED - {"seed"}
        and name not in free
        and (measured_in is None or (name != "seed" and (measured_in in axis.bears_on or not axis.bears_on)))
    ]


def _key(entry: Entry, measured_in: Pass | None, free: frozenset[str]) -> Key:
    strange = [name for name in entry.values if name not in axes()]
    return key_of(entry.values, [*_names(measured_in, free), *strange])


def _by_key(side: Sequence[Entry], measured_in: Pass, free: frozenset[str]) -> dict[Key, list[Entry]]:
    found: dict[Key, list[Entry]] = {}
    for entry in side:
        if measured_in in entry.record.cell.passes:
            found.setdefault(_key(entry, measured_in, free), []).append(entry)
    return found


@dataclass(frozen=True)
class _Measure:
    """How a quantity is read: the pass, why a record cannot be used, and the outcome of the second side's records."""

    measured_in: Pass
    why_not: tuple[WhyNot, WhyNot]
    outcome: Callable[[Sequence[Entry], Sequence[Entry]], Outcome]


def _measure_of(quantity: str) -> _Measure:
    timed = TIMED.get(quantity)
    if timed is None:
        of_two = OF_TWO[quantity]
        outcome = _by_seed(of_two.compare) if quantity.endswith("bytes") else of_two.compare
        return _Measure(of_two.measured_in, of_two.why_not, outcome)

    def ratio_of_ratios(own: Sequence[Entry], other: Sequence[Entry]) -> Outcome:
        return independent_difference(timed.log_ratio(own), timed.log_ratio(other))

    return _Measure(timed.measured_in, (timed.why_not, timed.why_not), ratio_of_ratios)


def _by_seed(compare_all: Callable[[Sequence[Entry], Sequence[Entry]], Outcome]) -> Callable[..., Outcome]:
    """Return ``compare_all``, which falls back to one seed where bytes differ between seeds.

    It is the seed with the largest increase, or without an increase that with the largest decrease.
    """

    def outcome(own: Sequence[Entry], other: Sequence[Entry]) -> Outcome:
        of_all = compare_all(own, other)
        if not isinstance(of_all, NotMeasured):
            return of_all
        seeds = sorted({entry.seed for entry in own} & {entry.seed for entry in other})
        found = [compare_all(*([one for one in side if one.seed == seed] for side in (own, other))) for seed in seeds]
        exact = [one for one in found if isinstance(one, Exact)]
        return max(exact, key=lambda one: (one.log_ratio > 0, abs(one.log_ratio))) if exact else of_all

    return outcome


def _comparisons(
    sides: Sequence[Sequence[Entry]], quantity: str, margin: float, free: frozenset[str], names: tuple[str, str]
) -> Iterable[Comparison | Change]:
    """Yield the second side compared with the first, for each cell that both hold; the change if it needs no test."""
    measure = _measure_of(quantity)
    before, after = (_by_key(side, measure.measured_in, free) for side in sides)
    for key, entries in after.items():
        if key not in before:
            continue
        pair = before[key][0], entries[0]
        if all(_is_reference(quantity, entry) for entry in pair):
            continue  # the reference beside itself says nothing of itself
        works = [entry.values["method"] == FIXED_WORK for entry in pair]
        is_fixed_work = all(works)
        if any(works) and quantity != "step_time":
            continue  # it is there to be timed
        values = canonical({**entries[0].values, "method": BASELINE}) if is_fixed_work else entries[0].values
        cell = cell_text(values, _names(measure.measured_in, free))
        if not quantity.endswith("bytes") and _hold_the_same(measure.measured_in, before[key], entries):
            yield Change(cell, quantity, "same", "0", "identical", f"{cell}: both hold the same numbers")
            continue
        outcome = _outcome(measure, (before[key], entries), names)
        if is_fixed_work and isinstance(outcome, Estimate):
            outcome = outcome.mirrored()  # the work over BP has fallen where BP takes longer
        yield Comparison(names[1], names[0], STATISTICS[quantity], outcome, margin, cell=cell)


def _is_reference(quantity: str, entry: Entry) -> bool:
    """Whether the cell is what times are compared with: plain BP in steps, a network of one module in predictions."""
    if quantity == "step_time":
        return is_baseline(entry.record.cell)
    return quantity == "inference_time" and entry.values["modules"] == 1


def _hold_the_same(measured_in: Pass, first: Sequence[Entry], second: Sequence[Entry]) -> bool:
    """Whether both sides hold equal results of a pass for each seed that both have; False if there is no such seed."""
    results = [{entry.seed: getattr(entry.record, measured_in) for entry in side} for side in (first, second)]
    pairs = [(result, results[1][seed]) for seed, result in results[0].items() if seed in results[1]]
    return bool(pairs) and all(one is not None and one == other for one, other in pairs)


def _outcome(measure: _Measure, sides: tuple[Sequence[Entry], Sequence[Entry]], names: tuple[str, str]) -> Outcome:
    used, reasons = zip(*map(usable_entries, sides, measure.why_not), strict=True)
    for name, entries, why in zip(names, used, reasons, strict=True):
        if not entries:
            return NotMeasured(f"in {name}, {why[0]}")
    return with_note(measure.outcome(used[1], used[0]), [*reasons[0], *reasons[1]])


def _change(judged: Judged, quantity: str) -> Change:
    comparison = judged.comparison
    margin = comparison.statistic.margin_on_scale(comparison.margin)
    word: Word = "inconclusive"
    if judged.verdict == "equivalent":
        word = "same"
    elif judged.verdict == "not measured":
        word = "not measured"
    elif judged.verdict in ("better", "worse") and abs(comparison.gain or 0) > margin:
        word = "better" if judged.verdict == "better" else "worse"
    shown = _bytes(comparison.outcome) if isinstance(comparison.outcome, Exact) else effect(judged)
    reason = comparison.outcome.because if isinstance(comparison.outcome, NotMeasured) else None
    return Change(comparison.cell, quantity, word, shown, sample(judged), sentence(judged), _amount(judged), reason)


def _amount(judged: Judged) -> Amount | None:
    outcome, statistic = judged.comparison.outcome, judged.comparison.statistic
    if isinstance(outcome, NotMeasured):
        return None
    if isinstance(outcome, Exact):
        ends: Sequence[float | None] = [outcome.log_ratio] * 3
    else:
        ends = [outcome.value, *(judged.interval or (None, None))]
    is_ratio = statistic.scale == "ratio"
    value, low, high = (None if end is None else 100 * (math.expm1(end) if is_ratio else end) for end in ends)
    return None if value is None else Amount(value, low, high, statistic.unit)


def _bytes(exact: Exact) -> str:
    """Both sizes, and the change in per cent if there is one."""
    if exact.first == exact.second:
        return f"{exact.first:,.0f}"
    percent = 100 * (exact.first - exact.second) / exact.second
    # Two decimals, or two significant digits where two decimals would show no change.
    decimals = 2 if abs(percent) >= 0.01 else 1 - math.floor(math.log10(abs(percent)))
    return f"{exact.second:,.0f} to {exact.first:,.0f} ({percent:+.{decimals}f} %)"


def _statuses(held: Sequence[Held], free: frozenset[str]) -> list[Change]:
    """Cells of which a pass is measured on one side only; where the other side skipped it, nothing can be told."""
    before, after = held
    changes = []
    for key, of_cell in after.items():
        for one in status_changes(before.get(key, {}), of_cell):
            is_lost = one.old.status == "ok"
            why = (one.new if is_lost else one.old).message or "no reason is known"
            is_whole = len(one.passes) == len(before[key].keys() | of_cell.keys())
            which = "" if is_whole else f" ({', '.join(one.passes)})"
            cell, shown = _text(of_cell, free), f"{one.old.status} to {one.new.status}{which}"
            is_skipped = "skipped" in (one.old.status, one.new.status)
            word: Word = "not measured" if is_skipped else "worse" if is_lost else "better"
            reason = f"{shown}: {why}" if is_skipped else None
            changes.append(Change(cell, STATUS, word, shown, "1 record", f"{cell}{which}: {why}", reason=reason))
    return changes


def _differences(first: Sequence[str], second: Sequence[str]) -> str:
    """Return the parts of the environment in which the machines of both sets differ, with the values of each set."""
    sets = [[json.loads(machine) for machine in machines] for machines in (first, second)]
    found = []
    for name in dict.fromkeys(name for machines in sets for machine in machines for name in machine):
        values = [sorted({_value_text(machine.get(name)) for machine in machines}) for machines in sets]
        if values[0] != values[1]:
            first_value, second_value = map(" or ".join, values)
            found.append(f"{name.replace('_', ' ')}: {first_value} in the first, {second_value} in the second")
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return "; ".join(found[:_MOST_NAMED]) + more


def _value_text(value: object) -> str:
    return "unknown" if value is None else value if isinstance(value, str) else json.dumps(value)


def _commits(sides: Sequence[Sequence[Entry]]) -> TwoLists:
    first, second = (sorted({str(entry.record.environment.get("commit")) for entry in side}) for side in sides)
    return first, second


def _notes(sides: Sequence[Sequence[Entry]], commits: TwoLists) -> list[str]:
    machines = [sorted({machine_of(entry.record) for entry in side}) for side in sides]
    notes = []
    if machines[0] != machines[1]:
        notes.append(
            f"The two come from different machines or configurations of one ({_differences(*machines)}). Times are "
            "compared as ratios to what was timed beside them, which may differ between machines, too."
        )
    for name, found in zip(("first", "second"), commits, strict=True):
        if len(found) > 1:
            notes.append(f"The records of the {name} come from {len(found)} commits: {', '.join(found)}.")
    versions = [own_versions(entry.record for entry in side) for side in sides]
    for file in sorted(versions[0].keys() & versions[1].keys()):
        first, second = (" or ".join(sorted(side[file])) for side in versions)
        if first != second:
            notes.append(f"{file} is another file in the second: SHA-256 {first} in the first, {second} in the second.")
    return notes
