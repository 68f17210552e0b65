"""The answers of a page."""

import pandas as pd

from bench.analysis.answer.accuracies import accuracy_answer
from bench.analysis.answer.answer import Answer
from bench.analysis.answer.costs import cost_answers
from bench.analysis.answer.methods import subject_of
from bench.analysis.answer.records import Page
from bench.analysis.statistics.records import RecordProvider

_QUESTIONS = (
    ("memory", "Does SID need less memory?"),
    ("time", "Is SID faster?"),
    ("accuracy", "Is SID as accurate?"),
)
_COMMAND = "sid-bench run smoke"


def answers_of(provider: RecordProvider, frame: pd.DataFrame) -> tuple[Answer, ...]:
    """Return the answers on memory, time and accuracy.

    They are about one method (:func:`bench.analysis.answer.methods.subject_of`), each on one cell, and each says what
    other methods and other cells have.

    Args:
        provider: finds comparisons in the records of the page.
        frame: the rows of those that are ``ok`` (:func:`bench.analysis.frame.records_frame`).
    """
    page = Page(provider, frame)
    subject = subject_of(page.methods)
    if subject is None:
        because = "The records hold no method besides BP." if page.methods else "No cell has a result."
        return tuple(
            Answer(name, question, "not measured", "", "", because, command=_COMMAND) for name, question in _QUESTIONS
        )
    return (*cost_answers(page, subject), accuracy_answer(page, subject))
