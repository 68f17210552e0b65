"""The answers of a page."""

import shlex

import pandas as pd

from bench.analysis.answer.accuracies import QUESTION as ACCURACY_QUESTION
from bench.analysis.answer.accuracies import accuracy_answer
from bench.analysis.answer.answer import Answer
from bench.analysis.answer.costs import COSTS, cost_answers
from bench.analysis.answer.failures import failure_sentence, without_result
from bench.analysis.answer.methods import subject_of
from bench.analysis.answer.records import Page
from bench.analysis.answer.texts import subject_text
from bench.analysis.statistics.records import RecordProvider
from bench.config.command import command_of

_QUESTIONS = {name: cost.question for name, cost in COSTS.items()} | {"accuracy": ACCURACY_QUESTION}
_COMMAND = ("sid-bench", "run", "smoke")


def answers_of(provider: RecordProvider, frame: pd.DataFrame, results: str | None = None) -> tuple[Answer, ...]:
    """Return the answers on memory, time and accuracy.

    They are about one method (:func:`bench.analysis.answer.methods.subject_of`), each on one cell, and each says what
    other methods and other cells have.

    Args:
        provider: finds comparisons in the records of the page.
        frame: the rows of those that are ``ok`` (:func:`bench.analysis.frame.records_frame`).
        results: the results file that the commands append to; the usual one if left out.
    """
    page = Page(provider, frame, results)
    subject = subject_of(page.methods)
    if subject is None:
        return _nothing(page)
    return (*cost_answers(page, subject), accuracy_answer(page, subject))


def _nothing(page: Page) -> tuple[Answer, ...]:
    """Return answers without a result of a method besides BP: what happened to those that were to be measured."""
    failed = without_result(page.provider.entries)
    subject = subject_of(failed)
    sentences = [failure_sentence(method, failed[method]) for method in sorted(failed, key=lambda one: one != subject)]
    command: str | None = shlex.join(_COMMAND if page.results is None else [*_COMMAND, "--out", page.results])
    if subject is None:
        sentences.insert(0, "The records hold no method besides BP." if page.methods else "No cell has a result.")
    else:
        again = command_of(failed[subject][0].record.cell, page.results)
        command = again and f"{again} --retry-failed"
    because, *besides = sentences
    return tuple(
        Answer(
            name,
            question.format(subject_text(subject)),
            "not measured",
            "",
            "",
            because,
            besides=tuple(besides),
            command=command,
        )
        for name, question in _QUESTIONS.items()
    )
