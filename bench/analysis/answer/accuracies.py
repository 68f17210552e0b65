"""Are the methods as accurate?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.analysis.answer.answer import Answer
from bench.analysis.answer.methods import BP, Method
from bench.analysis.answer.missing import command_for
from bench.analysis.answer.own_methods import own_methods_sentence
from bench.analysis.answer.records import MARGINS, Page, measured, reason
from bench.analysis.answer.texts import other_words, subject_text, support
from bench.analysis.differences import EPOCHS, SHARES, Epoch
from bench.analysis.headline import most_measured
from bench.analysis.noise import noise_name, strongest_kinds
from bench.analysis.numbers import points
from bench.analysis.statistics.comparison import Comparison
from bench.analysis.statistics.estimate import Estimate
from bench.analysis.statistics.verdict import Judged, Verdict, judge
from bench.analysis.words import counted

QUESTION = "Is {} as accurate?"
PLAIN_BP = Method("bp", (("modules", 1),))
# From the least favourable to the most.
_FAVOUR: tuple[Verdict, ...] = ("worse", "undecided", "equivalent", "better")

Found = Mapping[Epoch, Sequence[Comparison]]


@dataclass(frozen=True)
class _Condition:
    """A rate of label noise with its kind, and an epoch."""

    rate: float
    epoch: Epoch
    kind: str

    def of(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with this noise."""
        return rows[(rows["noise_rate"] == self.rate) & rows["noise_kind"].isin(["none", self.kind])]

    def __str__(self) -> str:
        return f"{noise_name(self.rate, [self.kind]) if self.rate else 'clean labels'}, {self.epoch} epoch"


def accuracy_answer(page: Page, subject: Method) -> Answer:
    """Return the answer on accuracy, on the cell with the most accuracies.

    The method is compared with BP without noise, or at its lowest rate, and at the highest rate, after the last epoch
    and after the one that validation chooses. The comparison that is the least favourable to it decides. It is compared
    with plain BP (one module) and with the most accurate of the other methods as well. So are methods of one's own with
    BP. All are one family.
    """
    question = QUESTION.format(subject_text(subject))
    found = _against(page, subject, BP)
    rows = _cell(page, found)
    own = _on_conditions(page, rows, found)
    if not own:
        return Answer(
            name="accuracy",
            question=question,
            verdict="not measured",
            number="",
            unit="",
            sentence=f"{subject.name} is not compared with BP: {reason(found['last'])}.",
            command=command_for(page, subject, "accuracy"),
        )
    rival = _most_accurate(page, subject, rows, own)
    others = {method: _like(own, _against(page, subject, method)) for method in (PLAIN_BP, rival) if method is not None}
    of_ones_own = _of_ones_own(page, subject, rows, own)
    besides_own = (*others.values(), *of_ones_own.values())
    family = [*own.values(), *(one for of_other in besides_own for one in of_other.values())]
    judged = {id(one.comparison): one for one in judge(family)}
    with_bp = {condition: judged[id(comparison)] for condition, comparison in own.items()}
    deciding = min(with_bp, key=lambda condition: _favour(with_bp[condition]))
    mine = with_bp[deciding]
    besides = [
        _under_other_conditions(with_bp, deciding),
        *(
            _beside(method, {on: judged[id(one)] for on, one in of_other.items()})
            for method, of_other in others.items()
        ),
        _own_methods(
            subject,
            {
                method: {on: judged[id(one)] for on, one in of_method.items()}
                for method, of_method in of_ones_own.items()
            },
        ),
        _in_other_cells(found["last"], own),
        _note(mine.comparison),
    ]
    has_no_interval = mine.interval is None
    record = mine.comparison.records[0]
    return Answer(
        name="accuracy",
        question=question,
        verdict=mine.verdict,
        number=_number(mine),
        unit="points of accuracy from BP",
        sentence=_sentence(page, rows, subject, deciding, mine),
        besides=tuple(filter(None, besides)),
        command=command_for(page, subject, "accuracy", record) if has_no_interval else None,
        record=record,
    )


def _against(page: Page, subject: Method, other: Method) -> Found:
    return {epoch: page.comparisons(f"accuracy_{epoch}", subject, other) for epoch in EPOCHS}


def _cell(page: Page, found: Found) -> pd.DataFrame:
    """Return the accuracies of the configuration that has the most of those on which the method compares with BP."""
    ids = {one for epoch in EPOCHS for comparison in measured(found[epoch]) for one in comparison.records}
    if not ids:
        return page.frame.iloc[:0]
    configurations = set(page.rows(ids)["configuration"])
    return most_measured(page.frame[page.frame["configuration"].isin(configurations)])


def _on_conditions(page: Page, rows: pd.DataFrame, found: Found) -> dict[_Condition, Comparison]:
    """Return the comparisons on the cell at the lowest and the highest rate, with the kinds of noise that have that."""
    ids = set(rows["id"]) if len(rows) else set()
    on_cell = {
        (epoch, one.records[0]): one for epoch in EPOCHS for one in measured(found[epoch]) if ids & set(one.records)
    }
    if not on_cell:
        return {}
    noise = page.rows({record for _, record in on_cell}).set_index("id")[["noise_kind", "noise_rate"]]
    strongest = strongest_kinds(noise)
    noise = noise[noise["noise_kind"].isin(["none", *strongest])]
    ends = sorted({float(noise["noise_rate"].min()), float(noise["noise_rate"].max())})
    return {
        _Condition(rate, epoch, kind): comparison
        for rate in ends
        for kind in dict.fromkeys(noise.loc[noise["noise_rate"] == rate, "noise_kind"])
        for epoch in EPOCHS
        for (when, record), comparison in on_cell.items()
        if when == epoch and record in noise.index and tuple(noise.loc[record]) == (kind, rate)
    }


def _like(own: Mapping[_Condition, Comparison], found: Found) -> dict[_Condition, Comparison]:
    """Return the comparisons in the same cells with another method."""
    return {
        condition: one
        for condition, comparison in own.items()
        for one in measured(found[condition.epoch])
        if one.records == comparison.records
    }


def _most_accurate(
    page: Page, subject: Method, rows: pd.DataFrame, own: Mapping[_Condition, Comparison]
) -> Method | None:
    """Return the other method with the highest mean accuracy under these conditions, of those that have all of them.

    Methods with BP's gradients are left out: they are BP.
    """
    means = {}
    for method, entries in page.methods.items():
        held = rows[rows["id"].isin([entry.record.id for entry in entries])]
        if method != subject and not method.has_gradients_of_bp and not held.empty:
            shares = [on.of(held)[SHARES[on.epoch]].astype(float).mean() for on in own]
            means[method] = sum(shares) / len(shares)
    known = {method: mean for method, mean in means.items() if mean == mean}  # without those that lack one
    return max(known, key=lambda method: (known[method], method.name)) if known else None


def _of_ones_own(
    page: Page, subject: Method, rows: pd.DataFrame, own: Mapping[_Condition, Comparison]
) -> dict[Method, dict[_Condition, Comparison]]:
    """Return the comparisons with BP of each other method that does not come with sid-bench, as far as it has any."""
    found = {}
    for method in page.methods:
        if method != subject and method.kind == "own":
            on_cell = _on_conditions(page, rows, _against(page, method, BP))
            found[method] = {on: one for on, one in on_cell.items() if on in own}
    return {method: on_cell for method, on_cell in found.items() if on_cell}


def _own_methods(subject: Method, found: Mapping[Method, Mapping[_Condition, Judged]]) -> str:
    """Return the least favourable difference of each method from BP, from the lowest to the highest."""
    least = [(method, *min(on_cell.items(), key=lambda item: _favour(item[1]))) for method, on_cell in found.items()]
    texts = [
        f"{_difference(judged)}, {judged.verdict} ({method.name}, {on}, {_estimate(judged).basis})"
        for method, on, judged in sorted(least, key=lambda item: item[2].comparison.gain or 0.0)
    ]
    return own_methods_sentence(subject, texts, " minus BP, in points")


def _favour(judged: Judged) -> tuple[int, float]:
    return _FAVOUR.index(judged.verdict), judged.comparison.gain or 0.0


def _estimate(judged: Judged) -> Estimate:
    outcome = judged.comparison.outcome
    assert isinstance(outcome, Estimate)  # noqa: S101 (accuracies that are compared are estimates)
    return outcome


def _number(judged: Judged) -> str:
    return points(_estimate(judged), judged.interval).partition(" ")[0].rstrip(",")


def _difference(judged: Judged) -> str:
    return points(_estimate(judged), judged.interval)


def _sentence(page: Page, rows: pd.DataFrame, subject: Method, condition: _Condition, judged: Judged) -> str:
    comparison = judged.comparison
    equal = f", equal within {comparison.margin:g} points" if judged.verdict == "equivalent" else ""
    difference = _number(judged) if judged.interval is None else _difference(judged)  # the support says it, too
    return (
        f"The test accuracy of {subject.name} minus BP's is {difference} points{equal} with {condition}"
        f"{_both(page, rows, condition, comparison)} ({support(judged)}), on {comparison.cell}."
    )


def _both(page: Page, rows: pd.DataFrame, condition: _Condition, comparison: Comparison) -> str:
    """Return both accuracies, means over the seeds that both have."""
    share = SHARES[condition.epoch]
    own = page.rows(comparison.records).set_index("seed")[share].astype(float)
    of_bp = condition.of(rows[rows["is_baseline"]]).set_index("seed")[share].astype(float)
    common = sorted(set(own.dropna().index) & set(of_bp.dropna().index))
    if not common:
        return ""
    return f", {100 * own[common].mean():.1f} and {100 * of_bp[common].mean():.1f} %"


def _under_other_conditions(with_bp: Mapping[_Condition, Judged], deciding: _Condition) -> str:
    rest = [f"{on} {_difference(one)}, {one.verdict}" for on, one in with_bp.items() if on != deciding]
    rest += [
        f"{missing} not measured"
        for on in dict.fromkeys(replace(on, epoch=EPOCHS[0]) for on in with_bp)
        for epoch in EPOCHS
        if (missing := replace(on, epoch=epoch)) not in with_bp
    ]
    return f"Minus BP, besides: {'; '.join(rest)}." if rest else ""


def _beside(method: Method, others: Mapping[_Condition, Judged]) -> str:
    """Return the range of the differences from another method.

    Two with verdicts that differ, or without an interval, are no range.
    """
    if not others:
        return ""
    name = "plain BP (one module)" if method == PLAIN_BP else f"{method.name}, the most accurate other method here"
    order = sorted(others, key=lambda on: others[on].comparison.gain or 0.0)
    ends = dict.fromkeys((order[0], order[-1]))
    texts = [f"{_difference(others[on])}, {others[on].verdict} ({on})" for on in ends]
    verdicts = {one.verdict if one.interval else None for one in others.values()}
    joint = " and " if len(others) == len(ends) and verdicts - {others[order[0]].verdict} else " to "
    return f"Minus {name}: {joint.join(texts)}."


def _in_other_cells(found: Sequence[Comparison], own: Mapping[_Condition, Comparison]) -> str:
    """Return the range over all cells at the last epoch."""
    numbers = measured(found)
    if len(numbers) <= sum(on.epoch == "last" for on in own):
        return ""
    margin = MARGINS["accuracy_last"]
    gains = {id(one): 100 * (one.gain or 0.0) for one in numbers}
    above, below = (sum(sign * gain > margin for gain in gains.values()) for sign in (1, -1))
    first = next(iter(own.values())).cell
    ends = [min(numbers, key=lambda one: gains[id(one)]), max(numbers, key=lambda one: gains[id(one)])]
    texts = [f"{gains[id(one)]:+z.1f} ({other_words(one.cell, first)})" for one in ends]
    cells = counted(len(numbers), "cell")
    return (
        f"At the last epoch of all {cells}, by the estimates alone: more than {margin:g} points "
        f"above BP in {above} and below in {below}, {' to '.join(texts)}."
    )


def _note(comparison: Comparison) -> str:
    note = comparison.outcome.note if isinstance(comparison.outcome, Estimate) else None
    return f"Note on the estimate: {note}." if note else ""
