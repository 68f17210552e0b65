"""The section ``answer``: three questions, each with a verdict, a number and what speaks against it."""

from dataclasses import dataclass

from bench.analysis.answer.answer import Answer
from bench.report.inputs import Inputs


@dataclass(frozen=True)
class AnswerContent:
    """The content of the section.

    Attributes:
        answers: on memory, time and accuracy.
    """

    answers: tuple[Answer, ...]


def answer(inputs: Inputs) -> AnswerContent:
    """Return the content of the section."""
    return AnswerContent(inputs.answers)
