"""Do the methods need less memory, and are they faster?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from bench.analysis.answer.answer import Answer
from bench.analysis.answer.methods import BP, Method
from bench.analysis.answer.missing import command_for
from bench.analysis.answer.own_methods import own_methods_sentence
from bench.analysis.answer.records import MARGINS, Page, measured, reason
from bench.analysis.answer.texts import other_words, subject_text, support
from bench.analysis.headline import largest_row
from bench.analysis.numbers import exponential, mebibytes, percent, times
from bench.analysis.ranks import compared_with_one_rank
from bench.analysis.statistics.comparison import Comparison, Exact, NotMeasured
from bench.analysis.statistics.estimate import Estimate, Interval
from bench.analysis.statistics.statistic import STATISTICS
from bench.analysis.statistics.verdict import Judged, judge
from bench.analysis.words import counted
from bench.config.cell import Pass

_PUBLISHED = "sid-published"


@dataclass(frozen=True)
class _Cost:
    """What is compared with BP.

    Attributes:
        name: of the answer.
        question: with a place for the method.
        statistic: the quantity.
        measured_in: the pass that measures it.
        of_bp: follows the ratio.
        fewer: a method that is better by more than the margin.
    """

    name: str
    question: str
    statistic: str
    measured_in: Pass
    of_bp: str
    fewer: str


COSTS: Mapping[str, _Cost] = MappingProxyType(
    {
        cost.name: cost
        for cost in (
            _Cost(
                "memory",
                "Does {} need less memory?",
                "activation_bytes",
                "memory",
                "of BP's activation bytes",
                "It needs fewer bytes than BP",
            ),
            _Cost("time", "Is {} faster?", "step_time", "latency", "of BP's time per step", "It is faster than BP"),
        )
    }
)


def cost_answers(page: Page, subject: Method) -> list[Answer]:
    """Return the answers on memory and on time, on one cell where both were measured.

    It is the largest cell (:func:`bench.analysis.headline.largest_row`) on which the method compares with BP in both;
    where there is none, each answer is on the largest that it has.
    """
    found = {cost.name: page.comparisons(cost.statistic, subject, BP) for cost in COSTS.values()}
    ids = [{one for comparison in measured(found[name]) for one in comparison.records} for name in found]
    shared = page.rows(set.intersection(*ids))
    answers = []
    for cost in COSTS.values():
        numbers = measured(found[cost.name])
        if numbers:
            rows = page.rows(one for comparison in numbers for one in comparison.records)
            chosen = str(largest_row(rows if shared.empty else shared)["id"])
            own = next(comparison for comparison in numbers if chosen in comparison.records)
            answers.append(_answer(page, subject, cost, own, numbers))
        else:
            answers.append(_nothing(page, subject, cost, found[cost.name]))
    return answers


def _nothing(page: Page, subject: Method, cost: _Cost, found: Sequence[Comparison]) -> Answer:
    return Answer(
        name=cost.name,
        question=cost.question.format(subject_text(subject)),
        verdict="not measured",
        number="",
        unit="",
        sentence=f"{subject.name} is not compared with BP: {reason(found)}.",
        command=command_for(page, subject, cost.measured_in),
    )


def _answer(page: Page, subject: Method, cost: _Cost, own: Comparison, numbers: Sequence[Comparison]) -> Answer:
    others = _others(page, subject, cost, own)
    one_rank = _one_rank(page, subject, cost, own)
    family = [own, *one_rank, *(comparison for _, comparison in others)]
    mine, *rest = judge(family)
    besides = [
        _within_a_process(page, mine),
        _in_total(page, subject, cost, own),
        *(_on_one_rank(page, own, judged) for judged in rest[: len(one_rank)]),
        *_lines(subject, own, list(zip([method for method, _ in others], rest[len(one_rank) :], strict=True))),
        _in_other_cells(page, cost, own, numbers),
        _note(own),
    ]
    has_no_interval = isinstance(own.outcome, Estimate) and mine.interval is None
    return Answer(
        name=cost.name,
        question=cost.question.format(subject_text(subject)),
        verdict=mine.verdict,
        number=_value(mine),
        unit=cost.of_bp,
        sentence=_sentence(subject, cost, mine),
        besides=tuple(filter(None, besides)),
        command=command_for(page, subject, cost.measured_in, own.records[0]) if has_no_interval else None,
        record=own.records[0],
    )


def _sentence(subject: Method, cost: _Cost, judged: Judged) -> str:
    comparison = judged.comparison
    each = " on the rank that needs most" if cost.name == "memory" and subject.ranks > 1 else ""
    verb = "holds" if cost.name == "memory" else "takes"
    sizes = ""
    if isinstance(comparison.outcome, Exact):
        sizes = f", {mebibytes(comparison.outcome.first)} of {mebibytes(comparison.outcome.second)} MiB"
    return (
        f"{subject.name} {verb} {_with_interval(judged)} {cost.of_bp}{each}{sizes} ({support(judged)}), on "
        f"{comparison.cell}."
    )


def _ratio(comparison: Comparison) -> float:
    outcome = comparison.outcome
    if isinstance(outcome, NotMeasured):
        return math.nan
    return math.exp(outcome.log_ratio if isinstance(outcome, Exact) else outcome.value)


def _value(judged: Judged) -> str:
    """Return a ratio without its interval: bytes in per cent, times as a factor."""
    ratio = _ratio(judged.comparison)
    return percent(ratio) if isinstance(judged.comparison.outcome, Exact) else times(ratio)


def _with_interval(judged: Judged) -> str:
    if judged.interval is None:
        return _value(judged)
    return times(_ratio(judged.comparison), exponential(judged.interval))


def _others(page: Page, subject: Method, cost: _Cost, own: Comparison) -> list[tuple[Method, Comparison]]:
    """Return the comparison with BP of each other method on the cell of ``own``.

    Methods on several ranks are often measured on different networks; beside one of them stand those of other cells,
    too, each on its largest.
    """
    pairs = page.rows(own.records)["pair"]
    part = page.part(page.frame[page.frame["pair"].isin(pairs)])
    found = []
    for method in page.methods:
        if method != subject and not method.is_baseline:
            numbers = measured(part.comparisons(cost.statistic, method, BP)) if method in part.methods else []
            if not numbers and subject.ranks > 1 and method.ranks > 1:
                numbers = measured(page.comparisons(cost.statistic, method, BP))
            if numbers:
                largest = largest_row(page.rows(one for comparison in numbers for one in comparison.records))["id"]
                found.append((method, next(one for one in numbers if largest in one.records)))
    return found


def _lines(subject: Method, own: Comparison, others: Sequence[tuple[Method, Judged]]) -> list[str]:
    """Return what other methods need: the range of SID's, those of one's own, and the least of the rest."""

    def text(method: Method, judged: Judged, verdict: str = "") -> str:
        there = "" if judged.comparison.cell == own.cell else f", on {other_words(judged.comparison.cell, own.cell)}"
        published = ", as published" if method.method == _PUBLISHED else ""
        return f"{_with_interval(judged)}{verdict} ({method.name}{published}{there})"

    ordered = sorted(others, key=lambda item: _ratio(item[1].comparison))
    lines = []
    of_sid = [item for item in ordered if item[0].kind == "sid"]
    if of_sid:
        ends = [text(*of_sid[0])] + ([text(*of_sid[-1])] if len(of_sid) > 1 else [])
        published = [text(*item) for item in of_sid[1:-1] if item[0].method == _PUBLISHED]
        name = "SID's other methods" if len(of_sid) > 1 else "Another method of SID"
        lines.append(f"{name}: {' to '.join(ends)}{''.join(f'; {one}' for one in published)}.")
    of_ones_own = [text(*item, f", {item[1].verdict}") for item in ordered if item[0].kind == "own"]
    lines.append(own_methods_sentence(subject, of_ones_own))
    rest = [item for item in ordered if item[0].kind in ("other", "bp")]
    if rest:
        name = "Without SID's objective" if subject.kind == "sid" else "Other methods"
        least = f", the least of {len(rest)}" if len(rest) > 1 else ""
        lines.append(f"{name}{least}: {text(*rest[0])}.")
    return lines


def _in_total(page: Page, subject: Method, cost: _Cost, own: Comparison) -> str:
    """Return the total bytes of the step: a large gain in activations can be a small one in all."""
    if cost.name != "memory":
        return ""
    numbers = [one for one in measured(page.comparisons("total_bytes", subject, BP)) if own.records[0] in one.records]
    if not numbers:
        return ""
    (judged,) = judge(numbers)
    return f"With weights, gradients, optimizer and batch it needs {_value(judged)} of BP's bytes in total."


def _one_rank(page: Page, subject: Method, cost: _Cost, own: Comparison) -> list[Comparison]:
    """Return the comparison of step times with the same rule on one rank, where there is a number."""
    if cost.name != "time" or subject.ranks == 1:
        return []
    rows = page.rows(own.records)
    return measured([compared_with_one_rank(rows)])


def _on_one_rank(page: Page, own: Comparison, judged: Judged) -> str:
    bounds = [results.bound for results in page.rows(own.records)["rank_results"] if results.bound is not None]
    bound = f"; its schedule allows {times(min(bounds))}" if bounds else ""
    return f"It takes {_with_interval(judged)} of its own time on one rank ({support(judged)}){bound}."


def _in_other_cells(page: Page, cost: _Cost, own: Comparison, numbers: Sequence[Comparison]) -> str:
    """Return in how many cells and networks the method is better by more than the margin, and the range."""
    if len(numbers) == 1:
        return ""
    margin = MARGINS[cost.statistic]
    least = STATISTICS[cost.statistic].margin_on_scale(margin)
    better = {id(one) for one in numbers if (one.gain or 0.0) > least}
    rows = page.rows(one.records[0] for one in numbers)
    of_record = {one.records[0]: one for one in numbers}
    largest = [of_record[str(largest_row(part)["id"])] for _, part in rows.groupby("network", sort=True)]
    networks = ""
    if len(largest) > 1:
        count = sum(id(one) in better for one in largest)
        networks = f" (on the largest cells of {count} of {len(largest)} networks)"
    ends = judge([min(numbers, key=_ratio), max(numbers, key=_ratio)])
    values = list(dict.fromkeys(map(_value, ends)))
    cells = [f"{_value(judged)} ({other_words(judged.comparison.cell, own.cell)})" for judged in ends]
    alone = "" if isinstance(own.outcome, Exact) else ", by the estimates alone"
    return (
        f"{cost.fewer} by more than {margin:g} % in {len(better)} of {counted(len(numbers), 'cell')}{networks}{alone}: "
        f"{f'from {cells[0]} to {cells[1]}' if len(values) > 1 else f'{values[0]} in each'}."
    )


def _within_a_process(page: Page, judged: Judged) -> str:
    """Return the interval over the blocks of the only process, where there is no other."""
    comparison = judged.comparison
    if judged.interval is not None or not isinstance(comparison.outcome, Estimate) or len(comparison.records) > 1:
        return ""
    low, high = page.rows(comparison.records).iloc[0]["latency.ratio_ci95"]
    return f"Within its only process, which says nothing of others: {times(_ratio(comparison), Interval(low, high))}."


def _note(own: Comparison) -> str:
    note = own.outcome.note if isinstance(own.outcome, Estimate) else None
    return f"Note on the estimate: {note}." if note else ""
