"""The title of a page: the question that its records are to answer."""

from collections.abc import Sequence

from bench.config.methods import BASELINE, is_of_sid
from bench.config.sweep import question_of
from bench.store.record import Record


def title_of(records: Sequence[Record]) -> str:
    """Return the question of the suite of ``records``.

    Records of several suites, of a suite that does not come with the package, or without a method that has SID's
    objective, get a question that names their methods.
    """
    suites = {record.suite for record in records}
    methods = sorted({record.cell.method for record in records} - {BASELINE})
    if not methods:
        return "What does backpropagation cost?"
    if not any(map(is_of_sid, methods)):
        subject = f"does {methods[0]}" if len(methods) == 1 else f"do {len(methods)} methods"
        return f"How {subject} compare with backpropagation?"
    question = question_of(suites.pop()) if len(suites) == 1 else None
    return question or "How does SID compare with backpropagation?"
