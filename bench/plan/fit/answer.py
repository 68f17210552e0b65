"""What fits, as sentences: SID's largest batch beside BP's, BP's own ways to save memory, and the batch in question."""

import re
from collections.abc import Iterator, Sequence

from bench.analysis.numbers import times
from bench.config.axes import axes, unpaired, value_of
from bench.config.methods import load_method
from bench.plan.fit.fitting import Budget, Fit, Fits
from bench.plan.grid import memory_axes
from bench.plan.tasks import BATCH_LIMIT

_WORDS = {"bp": "BP", "sid-streamed": "streamed SID"}  # of rules without settings


def answer(fits: Fits) -> list[str]:
    """Return the answer, a text for each budget, and in it a few sentences for each network that is planned.

    Networks differ in axes such as the number of modules, and their largest batches are not compared with each other.
    Axes that a rule presets, such as its heads, belong to the rule.
    """
    presets = {name for row in fits.rows for name in load_method(row.cell.method).presets}
    shared = [name for name in memory_axes() if name not in {*unpaired(), *presets, "batch_size"}]
    varied = [name for name in shared if len({value_of(row.cell, name) for row in fits.rows}) > 1]
    groups: dict[tuple[object, ...], list[Fit]] = {}
    for row in fits.rows:
        groups.setdefault(tuple(value_of(row.cell, name) for name in varied), []).append(row)
    found = []
    for number, budget in enumerate(fits.budgets):
        for values, rows in groups.items():
            words = [axes()[name].words(value) for name, value in zip(varied, values, strict=True)]
            place = f" with {', '.join(words)}" if words else ""
            found.append(f"In {_size_text(budget)}{place}, {_Group(rows, number).text()}")
    return found


class _Group:
    """The rows of one network, compared within one budget.

    Args:
        rows: at least one, of each method first the one without the settings that ``fit`` adds.
        budget: its number.
    """

    def __init__(self, rows: Sequence[Fit], budget: int) -> None:
        self._rows = rows
        self._budget = budget
        self._firsts: dict[str, Fit] = {}
        for row in rows:
            self._firsts.setdefault(row.cell.method, row)

    def text(self) -> str:
        """Return the sentences, without where they hold."""
        bp, others = self._firsts.get("bp"), [row for name, row in self._firsts.items() if name != "bp"]
        rule = self._firsts.get("sid-streamed") or max(others, key=self._batch, default=None)
        most = max(self._rows, key=self._batch)
        named = [one for one in (rule, bp) if one is not None]
        parts = [self._compared(rule, bp)]
        for row, words in self._ways_of_bp(bp):
            named.append(row)
            parts.append(f"{words} fits {_batch_words(self._batch(row))}")
        sentences = [_joined(parts)]
        if self._batch(most) > max(map(self._batch, named)):
            sentences.append(f"The largest batch is {_batch_words(self._batch(most))}, under {most.name}.")
        return " ".join([*sentences, *self._in_question()])

    def _batch(self, row: Fit) -> int:
        return row.planned.largest[self._budget].batch

    def _compared(self, rule: Fit | None, bp: Fit | None) -> str:
        if rule is None or bp is None:
            (row,) = (one for one in (rule, bp) if one is not None)
            return f"{_words(row)} fits {_batch_words(self._batch(row), 'image')}"
        own, its = self._batch(rule), self._batch(bp)
        if own in (0, BATCH_LIMIT) or its in (0, BATCH_LIMIT):
            return f"{_words(rule)} fits {_batch_words(own, 'image')}, and {_words(bp)} {_batch_words(its)}"
        if own == its:
            return f"{_words(rule)} fits as many images as {_words(bp)} ({own:,})"
        return f"{_words(rule)} fits {times(own / its)} times as many images as {_words(bp)} ({own:,} against {its:,})"

    def _ways_of_bp(self, bp: Fit | None) -> Iterator[tuple[Fit, str]]:
        """Yield the row of BP that fits most with checkpoints alone, and the one in micro-batches alone."""
        if bp is None:
            return
        own = [row for row in self._rows if row.cell.method == "bp"]
        for setting, other, words in (
            ("recompute", "micro_batches", "BP with checkpoints (recompute {})"),
            ("micro_batches", "recompute", "BP in {} micro-batches"),
        ):
            base = value_of(bp.cell, setting), value_of(bp.cell, other)
            varied = [
                row for row in own if value_of(row.cell, setting) != base[0] and value_of(row.cell, other) == base[1]
            ]
            if varied:
                most = max(varied, key=self._batch)
                yield most, words.format(value_of(most.cell, setting))

    def _in_question(self) -> Iterator[str]:
        """Yield which rules fit each batch that was asked for."""
        for batch in sorted({row.cell.batch_size for row in self._rows}):
            rows = [row for row in self._rows if row.cell.batch_size == batch]
            count = sum(row.fits[self._budget] for row in rows)
            if len(rows) == 1:
                yield f"A batch of {batch:,} {'fits' if count else 'does not fit'}."
                continue
            share = "all" if count == len(rows) else f"{count} of" if count else "none of"
            yield f"A batch of {batch:,} fits under {share} {len(rows)} rules."


def _batch_words(batch: int, noun: str = "") -> str:
    """Return a largest batch in a sentence, with its ``noun`` if it has one."""
    number = "no" if batch == 0 and noun else "none" if batch == 0 else f"{batch:,}"
    text = f"more than {number}" if batch == BATCH_LIMIT else number
    return f"{text} {noun}{'' if batch == 1 else 's'}" if noun else text


def _words(row: Fit) -> str:
    """Return the rule in words, with the settings that all of its rows have."""
    has_settings = row.name.partition(",")[0] != row.cell.method
    return row.name if has_settings else _WORDS.get(row.cell.method, row.cell.method)


def _joined(parts: Sequence[str]) -> str:
    first, *rest = parts
    return f"{first}; {', and '.join(rest)}." if rest else f"{first}."


def _size_text(budget: Budget) -> str:
    return re.sub(r"(?<=[\d.])(?=[A-Za-z])", " ", budget.text)
